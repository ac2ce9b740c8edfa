package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/redrive/redrive/client"
)

// story is the demo while it is told: every step is a command line as a user
// would type it, executed as it is shown.
type story struct {
	*program
	style style
	api   *client.Client
	url   string
	keep  bool // it goes on running when it was told
	files *demoFiles
	id    string // of the execution, as a user names it
	plan  string // hash of the plan that was shown last
}

// tell plays the demo against the server at url.
func (p *program) tell(ctx context.Context, url string, keep bool) error {
	api, err := client.New(url, client.Options{UserAgent: "redrive-demo/" + p.version})
	if err != nil {
		return err
	}
	t := &story{program: p, style: styleFor(p.out), api: api, url: url, keep: keep}
	if t.files, err = writeDemoFiles(); err != nil {
		return err
	}
	t.say("%s server, worker and an embedded Redis at %s", t.style.bold("started"), t.url)
	if name := commandName(); name != "redrive" {
		t.say("(redrive stands for %s below)", name)
	}
	for _, act := range []func(context.Context) error{t.fails, t.retries, t.reruns, t.ends} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (t *story) fails(ctx context.Context) error {
	t.act("1/3  Four years of daily weather, a file for each. One line of 2014 is damaged:")
	t.line(t.files.damage, "the letter O where a zero was")
	if err := t.play(ctx, exitOK, "workflow", "publish", t.files.workflow); err != nil {
		return err
	}
	if err := t.play(ctx, exitUnsuccess, "run", "weather-report", "--input", "@"+t.files.input, "--wait"); err != nil {
		return err
	}
	for x, err := range t.api.Executions(ctx, "default", client.ListExecutionsParams{}) {
		t.id = strconv.FormatInt(x.Number, 10)
		return err
	}
	return fmt.Errorf("the demo's execution is not there")
}

func (t *story) retries(ctx context.Context) error {
	t.act("2/3  A corrected file for 2014. What would a retry with it do? The plan:")
	input, err := encode(map[string]string{"csv": t.files.corrected})
	if err != nil {
		return err
	}
	retry := []string{"retry", t.id, "--task-input", "year[2014]=" + string(input), "--input-mode", "merge"}
	if err := t.play(ctx, exitOK, append(retry, "--dry-run")...); err != nil {
		return err
	}
	t.say("\nIt is executed as it was shown, or not at all:")
	if err := t.play(ctx, exitOK, append(retry, "--plan-hash", t.plan, "--wait")...); err != nil {
		return err
	}
	t.say("\n2014 and what needs it ran; the other years were kept, each with its one attempt:")
	return t.play(ctx, exitOK, "execution", "tasks", t.id)
}

func (t *story) reruns(ctx context.Context) error {
	t.act("3/3  The rain of one day of 2012 is revised (made up, for the demo):")
	t.line(t.files.revision, "")
	t.say("\nWhat would see something else runs again: 2012, the comparison and the report.")
	if err := t.play(ctx, exitOK, "rerun", t.id, "--set", "years.2012="+t.files.revised, "--scope", "changed", "--wait"); err != nil {
		return err
	}
	return t.play(ctx, exitOK, "execution", "tasks", t.id)
}

func (t *story) ends(ctx context.Context) error {
	task, err := t.api.Task(ctx, t.id, "report")
	if err != nil {
		return err
	}
	var report struct {
		Path  string `json:"path"`
		Chart string `json:"chart"`
	}
	if err := json.Unmarshal(task.Output, &report); err != nil {
		return fmt.Errorf("read the demo's report: %w", err)
	}
	t.say("\n%s\n\nThe report: %s\n", report.Chart, report.Path)
	further := [][2]string{
		{"execution history " + t.id, "everything that happened"},
		{"execution redrives " + t.id, "the retry and the rerun"},
		{"execution diff " + t.id + " --task 'year[2012]'", "how its two attempts differ"},
		{"execution graph " + t.id, "the graph, as mermaid"},
		{"rerun " + t.id + " --from compare --dry-run", "another plan"},
	}
	if t.keep {
		t.say("%s ask it from another terminal:", t.style.bold("Look further:"))
	} else {
		t.say("%s keep it running, and ask it from another terminal:", t.style.bold("Look further:"))
		keep := [2]string{"demo --keep --listen 127.0.0.1:8080", "runs it once more and goes on, with the API, docs and monitoring"}
		further = append([][2]string{keep}, further...)
	}
	for _, line := range further {
		t.say("  %s %-38s  %s", commandName(), line[0], t.style.dim(line[1]))
	}
	return nil
}

func (t *story) say(format string, args ...any) { fmt.Fprintf(t.out, format+"\n", args...) }

func (t *story) act(title string) { t.say("\n%s", t.style.bold(title)) }

// line shows a line of a file before and after.
func (t *story) line(c change, note string) {
	t.say("  %s, line %d", c.file, c.line)
	t.say("  %s", t.style.paint(red, "- "+c.was))
	text := "+ " + c.now
	if note != "" {
		text += "   (" + note + ")"
	}
	t.say("  %s", t.style.paint(green, text))
}

// play shows a command line, executes it, and expects its exit code.
func (t *story) play(ctx context.Context, want int, args ...string) error {
	words := []string{"redrive"}
	for _, arg := range args {
		words = append(words, shellWord(arg))
	}
	t.say("\n%s", t.style.bold("$ "+strings.Join(words, " ")))
	p := &program{version: t.version, args: args, in: strings.NewReader(""), out: t.out, err: t.out, now: t.now, played: t.url}
	err := p.execute(ctx, append([]string{"redrive"}, args...))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	code, text := explain(err)
	fmt.Fprint(t.out, text)
	if code != want {
		return &failure{code: exitUnsuccess, err: fmt.Errorf("the demo went another way: that command was to end with exit code %d, and ended with %d", want, code)}
	}
	if p.shown != nil {
		t.plan = p.shown.PlanHash
	}
	return nil
}
