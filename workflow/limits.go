package workflow

import "time"

// Limits bound a definition and what runs from it. The zero value is not
// useful: start from DefaultLimits.
type Limits struct {
	DefinitionBytes int // of a definition's source
	Tasks           int // in a definition
	ExpressionBytes int // of one expression
	ExpressionCost  uint64
	Depth           int           // of nested JSON or YAML
	Nodes           int           // values in a definition, once its YAML aliases are replaced
	Expressions     int           // in a definition
	TaskValueBytes  int           // of a task's input, and of its output
	ValueBytes      int           // of an execution's input, and of its output
	Timeout         time.Duration // the longest timeout or delay that may be asked for
	Attempts        int           // the most max_attempts may be
	Items           int           // of one for_each
	Iterations      int           // of one loop
	Instances       int           // tasks in one execution, items and iterations counted one by one
	Nesting         int           // of sub-workflows
	ViewBytes       int           // of the output of a for_each, group or loop, when it is read
}

// DefaultLimits are the documented limits.
func DefaultLimits() Limits {
	return Limits{
		DefinitionBytes: 1 << 20,
		Tasks:           1000,
		ExpressionBytes: 8 << 10,
		ExpressionCost:  100_000,
		Depth:           32,
		Nodes:           100_000,
		Expressions:     10_000,
		TaskValueBytes:  256 << 10,
		ValueBytes:      1 << 20,
		Timeout:         30 * 24 * time.Hour,
		Attempts:        1000,
		Items:           10_000,
		Iterations:      1000,
		Instances:       50_000,
		Nesting:         8,
		ViewBytes:       8 << 20,
	}
}
