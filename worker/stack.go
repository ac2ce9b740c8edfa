package worker

// stackRoom is what a delivery needs of the stack: claiming, reporting and asynq's client are deep.
const stackRoom = 12 << 10

// growStack gives the goroutine its whole stack at once. asynq begins each delivery on a new
// one, which is small: growing it step by step, copied with all that is on it by then, took an eighth of
// a worker's time.
//
//go:noinline
func growStack(i int) byte {
	var room [stackRoom]byte
	return room[i]
}
