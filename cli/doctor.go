package cli

import (
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/redrive/redrive/client"
)

func (p *program) doctorCommand() *cli.Command {
	return explained(&cli.Command{
		Name: "doctor", Usage: "check the installation: server, Redis, workers, versions, clocks, queues", Category: categoryManagement,
		Description: "What it finds wrong it says with what to do about it. Warnings do not make it fail; errors do.",
		Action:      p.doctor,
	}, []string{"redrive doctor", "redrive doctor -o json", "redrive doctor --server https://redrive.example.com --api-key rdr_..."})
}

func (p *program) doctor(c *cli.Context) error {
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
	s, err := p.connect(c)
	if err != nil {
		return err
	}
	d, err := s.api.Diagnosis(c.Context)
	if err != nil {
		return err
	}
	d.Findings = append(s.ownFindings(d), d.Findings...)
	if s.format == formatTable || s.format == formatWide {
		s.findings(d.Findings)
	} else if err := printOne(s.printer, *d, nil, func(d client.Diagnosis) string { return d.Version }); err != nil {
		return err
	}
	wrong := 0
	for _, f := range d.Findings {
		if f.Status == client.FindingError {
			wrong++
		}
	}
	if wrong > 0 {
		return &failure{code: exitFailed, err: fmt.Errorf("the installation is not well: errors above: %d", wrong)}
	}
	return nil
}

// ownFindings are those that only this side can make.
func (s *session) ownFindings(d *client.Diagnosis) []client.Finding {
	found := []client.Finding{{Check: "server", Status: client.FindingOK, Message: fmt.Sprintf("the server at %s answers, and is version %s", s.server, d.Version)}}
	if d.Version != s.version {
		found = append(found, client.Finding{
			Check: "cli", Status: client.FindingWarning, Message: "this is redrive " + s.version + ", and the server is " + d.Version,
			Next: "Use the same version on both sides.",
		})
	}
	const noticed = 5 * time.Second // the answer was on its way, too
	if skew := s.program.now().Sub(d.At); skew.Abs() > noticed {
		found = append(found, client.Finding{
			Check: "cli", Status: client.FindingWarning, Message: fmt.Sprintf("the clock here differs from that of Redis by %s: times like --since 1h are off by as much", skew.Abs().Round(time.Second)),
			Next: "Let this machine keep time (NTP).",
		})
	}
	return found
}

// findings writes a line for each, and below what is not well what to do.
func (s *session) findings(all []client.Finding) {
	marks := map[client.FindingStatus]string{
		client.FindingOK: s.style.paint(green, "✔"), client.FindingWarning: s.style.paint(yellow, "!"), client.FindingError: s.style.paint(red, "✘"),
	}
	widest := 0
	for _, f := range all {
		widest = max(widest, len(f.Check))
	}
	for _, f := range all {
		fmt.Fprintf(s.program.out, "%s %-*s  %s\n", marks[f.Status], widest, f.Check, oneLine(f.Message))
		if f.Next != "" {
			fmt.Fprintf(s.program.out, "  %-*s  %s %s\n", widest, "", s.style.dim("→"), f.Next)
		}
	}
}
