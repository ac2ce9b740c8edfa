package worker

import "github.com/prometheus/client_golang/prometheus"

// Metrics are what a worker process counts. A nil *Metrics counts nothing.
type Metrics struct {
	running  prometheus.Gauge
	zombies  prometheus.Gauge
	refused  *prometheus.CounterVec
	canceled *prometheus.CounterVec
	reports  prometheus.Counter
	lines    prometheus.Counter
}

// NewMetrics registers the metrics of a worker.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		running: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "redrive_worker_running", Help: "Handlers that run now."}),
		zombies: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "redrive_worker_zombies", Help: "Handlers that ignore the end of their context and still hold a slot."}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "redrive_worker_refused_total", Help: "Deliveries and results that the engine refused, by reason."}, []string{"reason"}),
		canceled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "redrive_worker_canceled_total", Help: "Handlers canceled, by cause."}, []string{"cause"}),
		reports: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "redrive_worker_report_retries_total", Help: "Results that had to be reported again because Redis could not be asked."}),
		lines: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "redrive_worker_log_lines_lost_total", Help: "Lines of tasks' logs that were lost because Redis could not be reached."}),
	}
	reg.MustRegister(m.running, m.zombies, m.refused, m.canceled, m.reports, m.lines)
	return m
}

func (m *Metrics) addRunning(n float64) {
	if m != nil {
		m.running.Add(n)
	}
}

func (m *Metrics) addZombies(n float64) {
	if m != nil {
		m.zombies.Add(n)
	}
}

func (m *Metrics) countRefused(reason string) {
	if m != nil {
		m.refused.WithLabelValues(reason).Inc()
	}
}

func (m *Metrics) countCanceled(cause string) {
	if m != nil {
		m.canceled.WithLabelValues(cause).Inc()
	}
}

func (m *Metrics) countReport() {
	if m != nil {
		m.reports.Inc()
	}
}

func (m *Metrics) countLostLines(n int) {
	if m != nil {
		m.lines.Add(float64(n))
	}
}
