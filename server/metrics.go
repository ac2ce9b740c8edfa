package server

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/workflow"
)

const (
	scrapeWithin   = 5 * time.Second
	scrapeProjects = 1000 // gauges of more projects are left out
)

// fleet is what the gauges read, at each scrape.
type fleet interface {
	Projects(ctx context.Context, page engine.Page) ([]engine.Project, string, error)
	StatusCounts(ctx context.Context, project string) (map[workflow.ExecutionStatus]int64, error)
	Recovery(ctx context.Context, project string) (engine.Recovery, error)
	TaskCounts(ctx context.Context, project string) (map[workflow.TaskStatus]int64, error)
	Queues(ctx context.Context) ([]engine.Queue, error)
	Workers(ctx context.Context) ([]engine.Worker, error)
}

// metrics are the server's own series.
type metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.HistogramVec
	unaudited prometheus.Counter
	gauges    *gauges
}

func newMetrics(o Options) (*metrics, error) {
	m := &metrics{
		registry: o.Registry,
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "redrive_http_request_duration_seconds", Help: "Time to answer a request.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"method", "route", "status"}),
		unaudited: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "redrive_audit_lost_total", Help: "Changing calls that could not be written to the audit; the log has them.",
		}),
		gauges: newGauges(o.Engine, o.Logger),
	}
	if err := m.registry.Register(m.requests); err != nil {
		return nil, fmt.Errorf("server: options: Registry: %w", err)
	}
	if err := m.registry.Register(m.gauges); err != nil {
		m.registry.Unregister(m.requests)
		return nil, fmt.Errorf("server: options: Registry: %w", err)
	}
	if err := m.registry.Register(m.unaudited); err != nil {
		m.registry.Unregister(m.requests)
		m.registry.Unregister(m.gauges)
		return nil, fmt.Errorf("server: options: Registry: %w", err)
	}
	return m, nil
}

func (m *metrics) unregister() {
	m.registry.Unregister(m.requests)
	m.registry.Unregister(m.gauges)
	m.registry.Unregister(m.unaudited)
}

// gauges reads the state of the fleet when it is scraped.
type gauges struct {
	fleet fleet
	log   *slog.Logger

	executions, tasks, bulks, outcomes, groups, jobs, latency, paused, workers, running *prometheus.Desc
}

func newGauges(f fleet, log *slog.Logger) *gauges {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("redrive_"+name, help, labels, nil)
	}
	return &gauges{
		fleet: f, log: log,
		executions: desc("executions", "Executions by project and status.", "project", "status"),
		tasks:      desc("tasks", "Tasks of executions that have not ended, by project and status.", "project", "status"),
		bulks:      desc("bulk_operations", "Bulk operations that are not over, by project and state; aborted = its last executions are still in flight.", "project", "state"),
		outcomes:   desc("bulk_executions_total", "Executions of bulk operations that have an outcome, by project and outcome: succeeded, failed, skipped.", "project", "outcome"),
		groups:     desc("failure_groups", "Groups of failures that have open ones, by project and state: open, acknowledged, resolved.", "project", "state"),
		jobs:       desc("queue_jobs", "Jobs of a queue by state.", "queue", "state"),
		latency:    desc("queue_latency_seconds", "Age of the oldest waiting job.", "queue"),
		paused:     desc("queue_paused", "1 when the queue is paused.", "queue"),
		workers:    desc("workers", "Live workers.", "draining"),
		running:    desc("workers_running_tasks", "Tasks that workers run now."),
	}
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.executions, g.tasks, g.bulks, g.outcomes, g.groups, g.jobs, g.latency, g.paused, g.workers, g.running} {
		out <- d
	}
}

// Collect implements prometheus.Collector. What cannot be read is left out of
// the scrape and said in the log.
func (g *gauges) Collect(out chan<- prometheus.Metric) {
	// A scrape has no context of its own here.
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWithin)
	defer cancel()
	for what, collect := range map[string]func(context.Context, chan<- prometheus.Metric) error{
		"executions": g.collectExecutions, "queues": g.collectQueues, "workers": g.collectWorkers,
	} {
		if err := collect(ctx, out); err != nil {
			g.log.Warn("gauges could not be read", slog.String("what", what), slog.Any("error", err))
		}
	}
}

func (g *gauges) collectExecutions(ctx context.Context, out chan<- prometheus.Metric) error {
	projects, _, err := g.fleet.Projects(ctx, engine.Page{Limit: scrapeProjects})
	if err != nil {
		return err
	}
	for _, p := range projects {
		counts, err := g.fleet.StatusCounts(ctx, p.Name)
		if err != nil {
			return err
		}
		for _, status := range workflow.ExecutionStatuses {
			out <- gauge(g.executions, float64(counts[status]), p.Name, string(status))
		}
		tasks, err := g.fleet.TaskCounts(ctx, p.Name)
		if err != nil {
			return err
		}
		for _, status := range workflow.TaskStatuses {
			out <- gauge(g.tasks, float64(tasks[status]), p.Name, string(status))
		}
		if err := g.collectRecovery(ctx, p.Name, out); err != nil {
			return err
		}
	}
	return nil
}

func (g *gauges) collectRecovery(ctx context.Context, project string, out chan<- prometheus.Metric) error {
	c, err := g.fleet.Recovery(ctx, project)
	if err != nil {
		return err
	}
	for _, state := range engine.BulkStates {
		if state != engine.BulkCompleted {
			out <- gauge(g.bulks, float64(c.Bulks[state]), project, string(state))
		}
	}
	for _, outcome := range []engine.BulkOutcome{engine.OutcomeSucceeded, engine.OutcomeFailed, engine.OutcomeSkipped} {
		out <- prometheus.MustNewConstMetric(g.outcomes, prometheus.CounterValue, float64(c.Outcomes[outcome]), project, string(outcome))
	}
	for _, state := range engine.FailureStates {
		out <- gauge(g.groups, float64(c.Groups[state]), project, string(state))
	}
	return nil
}

func (g *gauges) collectQueues(ctx context.Context, out chan<- prometheus.Metric) error {
	queues, err := g.fleet.Queues(ctx)
	if err != nil {
		return err
	}
	for _, q := range queues {
		for _, s := range []struct {
			state string
			jobs  int
		}{{"pending", q.Pending}, {"active", q.Active}, {"scheduled", q.Scheduled}, {"retry", q.Retry}, {"archived", q.Archived}} {
			out <- gauge(g.jobs, float64(s.jobs), q.Name, s.state)
		}
		out <- gauge(g.latency, q.Latency.Seconds(), q.Name)
		paused := 0.0
		if q.Paused {
			paused = 1
		}
		out <- gauge(g.paused, paused, q.Name)
	}
	return nil
}

func (g *gauges) collectWorkers(ctx context.Context, out chan<- prometheus.Metric) error {
	workers, err := g.fleet.Workers(ctx)
	if err != nil {
		return err
	}
	live, draining, running := 0, 0, 0
	for _, w := range workers {
		running += w.Running
		if w.Draining {
			draining++
		} else {
			live++
		}
	}
	out <- gauge(g.workers, float64(live), "false")
	out <- gauge(g.workers, float64(draining), "true")
	out <- gauge(g.running, float64(running))
	return nil
}

func gauge(d *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}
