package prefect

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Prefect names everything by a UUID. A flow run's is the execution's; the others are made of what they name.

var (
	flowSpace       = uuid.NewSHA1(uuid.NameSpaceOID, []byte("redrive prefect flow"))
	deploymentSpace = uuid.NewSHA1(uuid.NameSpaceOID, []byte("redrive prefect deployment"))
	taskSpace       = uuid.NewSHA1(uuid.NameSpaceOID, []byte("redrive prefect task run"))
)

func madeOf(space uuid.UUID, parts ...string) string {
	return uuid.NewSHA1(space, []byte(strings.Join(parts, "\x00"))).String()
}

func flowID(project, workflow string) string { return madeOf(flowSpace, project, workflow) }

func deploymentID(project, workflow string) string { return madeOf(deploymentSpace, project, workflow) }

func taskRunID(execution, ref string) string { return madeOf(taskSpace, execution, ref) }

// stateID names a state of an execution, so that the execution can be found by it: it begins with the
// same milliseconds and ends with the same 32 bits. What lies between is made of the parts.
func stateID(execution string, parts ...string) string {
	id, err := uuid.Parse(execution)
	if err != nil {
		return madeOf(taskSpace, append(parts, execution)...)
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	copy(id[7:12], sum[:5])
	id[6] = 0x80 | sum[5]&0x0f
	id[8] = 0x80 | id[8]&0x3f
	return id.String()
}

// stateOf reports whether a state may be one of an execution.
func stateOf(execution string, state uuid.UUID) bool {
	id, err := uuid.Parse(execution)
	return err == nil && [6]byte(id[:6]) == [6]byte(state[:6]) && [4]byte(id[12:]) == [4]byte(state[12:])
}

// timeOf is when the execution of a state was made.
func timeOf(state uuid.UUID) time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(state[:8]) >> 16)).UTC()
}
