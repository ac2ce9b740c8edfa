package engine

import (
	"testing"

	"github.com/stretchr/testify/require"
)

var somewhere = Shelf{Lane: "default", Type: "render"}

func woken(all ...*poller) (who []int) {
	for i, w := range all {
		if len(w.woken) > 0 {
			who = append(who, i)
		}
	}
	return who
}

// An offer wakes one poller, the next offer another, and one that leaves without
// having looked hands its wake-up on: no offer waits while somebody could take it.
func TestAWakeUpIsNeverLost(t *testing.T) {
	t.Parallel()
	var p pollers
	a, b := p.join([]Shelf{somewhere}, nil), p.join([]Shelf{somewhere, {"low", "render"}}, nil)
	p.wake(Offered{somewhere, "default"})
	require.Len(t, woken(a, b), 1)
	p.wake(Offered{somewhere, "default"})
	require.Len(t, woken(a, b), 2)
	<-b.woken // b looks
	require.Equal(t, []int{0}, woken(a, b))
	p.leave(a)
	require.Equal(t, []int{0}, woken(b), "a's wake-up went to b")
	p.leave(b)
	require.Empty(t, p.waiting, "those who left leave nothing behind")
}

func TestAWakeUpReachesOneWhoMayTakeTheJob(t *testing.T) {
	t.Parallel()
	for range 20 { // whom a wake-up tries first is chance
		var p pollers
		mine := p.join([]Shelf{somewhere}, []string{"mine"})
		yours := p.join([]Shelf{somewhere}, []string{"yours"})
		p.wake(Offered{somewhere, "yours"})
		require.Equal(t, []int{1}, woken(mine, yours))
		<-yours.woken
		p.wake(Offered{Shelf: somewhere}) // left over, of which project nobody said
		require.Equal(t, []int{0, 1}, woken(mine, yours))
		<-mine.woken
		<-yours.woken
		all := p.join([]Shelf{somewhere}, nil)
		p.wake(Offered{Shelf: somewhere})
		require.Equal(t, []int{2}, woken(mine, yours, all))
		<-all.woken
		p.wake(Offered{}) // a connection was lost, and messages with it
		require.Equal(t, []int{0, 1, 2}, woken(mine, yours, all))
	}
}
