package engine

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redrive/redrive/workflow"
)

// Metrics are the engine's own counters. Each process counts what it did.
type Metrics struct {
	starts     prometheus.Counter
	executions *prometheus.CounterVec
	tasks      *prometheus.CounterVec
	durations  *prometheus.HistogramVec
	waits      *prometheus.HistogramVec
	refused    *prometheus.CounterVec
	repairs    *prometheus.CounterVec
	ticks      *prometheus.CounterVec
	redrives   *prometheus.CounterVec
}

// NewMetrics makes the counters and registers them, unless reg is nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	buckets := []float64{.001, .005, .01, .05, .1, .5, 1, 5, 10, 30, 60, 300, 1800, 3600}
	m := &Metrics{
		starts: prometheus.NewCounter(prometheus.CounterOpts{Name: "redrive_executions_started_total", Help: "Executions started."}),
		executions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "redrive_executions_ended_total", Help: "Executions ended, by status.",
		}, []string{"status"}),
		tasks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "redrive_task_attempts_total", Help: "Attempts of tasks that ended, by type and status; retrying = another attempt follows.",
		}, []string{"type", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "redrive_task_duration_seconds", Help: "Time from claim to result.", Buckets: buckets,
		}, []string{"type"}),
		waits: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "redrive_sweep_duration_seconds", Help: "Time of one pass over the shards this process leads.", Buckets: buckets,
		}, []string{"kind"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "redrive_fenced_total", Help: "Claims and results refused because they were superseded, by operation.",
		}, []string{"operation"}),
		repairs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "redrive_repairs_total", Help: "What the reconciler repaired, by kind.",
		}, []string{"kind"}),
		ticks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "redrive_schedule_ticks_total", Help: "Ticks of schedules and backfills, by what became of them: started, skipped, failed (to start).",
		}, []string{"outcome"}),
		redrives: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "redrive_redrives_total", Help: "Redrives of executions, by operation: retry, rerun, complete, skip.",
		}, []string{"operation"}),
	}
	for _, operation := range workflow.Operations {
		m.redrives.WithLabelValues(string(operation))
	}
	for _, outcome := range []TickOutcome{TickStarted, TickSkipped, TickFailed} {
		m.ticks.WithLabelValues(string(outcome))
	}
	for _, operation := range []string{"claim", "complete", "fail", "heartbeat", string(WhyRelease), string(WhyExpire), string(WhyVanish)} {
		m.refused.WithLabelValues(operation)
	}
	for _, kind := range []string{"relay", "job", "lease", "deadline", "decide", "building", "slot", "reservation"} {
		m.repairs.WithLabelValues(kind)
	}
	for _, status := range workflow.ExecutionStatuses {
		if status.Ended() {
			m.executions.WithLabelValues(string(status))
		}
	}
	if reg != nil {
		reg.MustRegister(m.starts, m.executions, m.tasks, m.durations, m.waits, m.refused, m.repairs, m.ticks, m.redrives)
	}
	return m
}

func (m *Metrics) started() { m.starts.Inc() }

func (m *Metrics) ended(s workflow.ExecutionStatus) { m.executions.WithLabelValues(string(s)).Inc() }

func (m *Metrics) task(taskType string, status workflow.TaskStatus, took time.Duration) {
	m.tasks.WithLabelValues(taskType, string(status)).Inc()
	m.durations.WithLabelValues(taskType).Observe(took.Seconds())
}

func (m *Metrics) redriven(operation workflow.Operation) {
	m.redrives.WithLabelValues(string(operation)).Inc()
}

func (m *Metrics) fenced(operation string) { m.refused.WithLabelValues(operation).Inc() }

func (m *Metrics) repaired(kind string) { m.repairs.WithLabelValues(kind).Inc() }

func (m *Metrics) ticked(o TickOutcome, n int) { m.ticks.WithLabelValues(string(o)).Add(float64(n)) }

func (m *Metrics) swept(took time.Duration) { m.waits.WithLabelValues("sweep").Observe(took.Seconds()) }
