package workflow

import "encoding/json"

// Case is an execution as the planner sees it.
type Case struct {
	Execution string
	Status    ExecutionStatus
	Epoch     int // how often it was redriven
	Revision  int64
	Program   *Program // what it ran from
	Target    *Program // what it is to run from; Program where that stays
	Tasks     map[string]Past
	Items     map[string][]string // by ref of a for_each: the keys of its items, in order
	Children  map[string]*Case    // by ref of a task of type workflow: its sub-execution, where the task still waits for it, or ended with it
	// Lists are the keys that the items of a for_each would have now, and Hashes
	// what the inputs of tasks would be now, by ref; both as far as they can be known.
	Lists  map[string][]string
	Hashes map[string]string
	// InputChanged says that the input given is another one than the execution had.
	InputChanged bool
}

// Past is what became of a task so far.
type Past struct {
	TaskState
	Try, Size int
	Child     string // id of its sub-execution
	Hash      string // of its input
	Began     bool   // of one that holds others: what is in it is of its newest attempt
	Given     bool   // its input was given by a redrive
	Same      bool   // its definition is the one that its newest attempt ran
}

func (p Past) live() bool { return p.Status.Active() }

// Keep is how a task that holds others goes on when it begins again.
type Keep string

// The ways.
const (
	KeepNothing Keep = ""       // everything in it runs again
	KeepInside  Keep = "inside" // what in it ended well stays, of a for_each with its list
	KeepListed  Keep = "listed" // the list of the for_each is evaluated again; items that stay on it and ended well stay
)

// StepKind is what a step does to a task.
type StepKind string

// The kinds of steps.
const (
	StepReset StepKind = "reset" // it is ready to be reached again; a live attempt is superseded
	StepPin   StepKind = "pin"   // it succeeds with the output that was given
	StepSkip  StepKind = "skip"  // it is skipped
	StepTouch StepKind = "touch" // it runs on, and tasks in it are set in motion
	StepGive  StepKind = "give"  // it goes on as it would, with the input that was given
)

// Step is how a redrive changes one task. Steps are applied in order, those of dependents first.
type Step struct {
	Ref     string     `json:"r"`
	Do      StepKind   `json:"d"`
	Attempt int        `json:"a,string"`           // what the plan rests on
	Status  TaskStatus `json:"s"`                  // "" = it is not there yet
	Was     int        `json:"w,string,omitempty"` // the size that the plan rests on, of a loop that runs
	Wait    bool       `json:"p,omitempty"`        // what it waits for is to be written, and it starts when that is nothing
	Needs   []string   `json:"n,omitempty"`        // refs that run again, too
	Others  []string   `json:"o,omitempty"`        // other refs that it needs
	Mode    string     `json:"m,omitempty"`        // run or decide
	Item    bool       `json:"i,omitempty"`        // of a for_each that runs: it takes its turn
	Keep    Keep       `json:"k,omitempty"`
	Size    int        `json:"z,string,omitempty"` // of a loop: the iteration at which it goes on
	Try     int        `json:"t,string,omitempty"` // tries used
	Child   string     `json:"c,omitempty"`        // the sub-execution that goes on
	Plan    string     `json:"q,omitempty"`        // draft of the steps that it goes on with
	Maybe   bool       `json:"y,omitempty"`        // it stays as it is when its input turns out to be the same
	Output  string     `json:"-"`
	Given   *string    `json:"-"` // "" takes the input away that was given
	Reason  string     `json:"u,omitempty"`
}

// Part is how a redrive changes one execution.
type Part struct {
	Case  *Case
	Steps []Step
	// Task is the ref of the task in the execution around it that goes on with
	// this one when it begins; "" = this part is applied at once.
	Task  string
	Above *Part
	Named bool // tasks of it were chosen by the request
}

// Planned is a plan with how it is done.
type Planned struct {
	Plan  Plan
	Parts []*Part // of those that change; one around another comes first
}

// give says what the task has as input from now on.
func (s Step) give(value json.RawMessage, mode InputMode) Step {
	text := string(Give(value, mode))
	s.Given = &text
	return s
}

func unsuccessful(s TaskState) bool {
	switch s.Status {
	case TaskFailed, TaskTimedOut:
		return !s.Continued
	case TaskCanceled:
		return true
	}
	return false
}
