package cognite

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/redrive/redrive/engine"
	"github.com/redrive/redrive/server/auth"
	"github.com/redrive/redrive/server/compat"
	"github.com/redrive/redrive/workflow"
)

// retry runs again, in place, the tasks that did not succeed, optional ones left out.
func (h *handlers) retry(c *gin.Context) error {
	var q retryRequest
	if err := read(c.Request, &q); err != nil {
		return err
	}
	key, err := usedOnce("retry", q.Authentication)
	if err != nil {
		return err
	}
	x, err := h.execution(c)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	redrive := engine.RedriveRequest{IdempotencyKey: key, By: auth.From(ctx).By()}
	redrive.Operation, redrive.Budget = workflow.OperationRetry, workflow.BudgetOne
	if x.Status.Ended() {
		from, calls, err := h.unsuccessful(ctx, x, "", records{})
		if err != nil {
			return err
		}
		if calls {
			redrive.Operation, redrive.From = workflow.OperationRerun, from
			plan, err := h.engine.Plan(ctx, x.ID, redrive)
			if err != nil {
				return err
			}
			redrive.PlanHash = plan.PlanHash // what was read above holds, or nothing is done
		}
	}
	done, err := h.engine.Redrive(ctx, x.ID, redrive)
	if refused, ok := errors.AsType[*engine.Error](err); ok && refused.Code == "idempotency_key_reused" { // by this request, when the tasks were in other states
		done, err = x, nil
	}
	if err != nil {
		return err
	}
	v, err := h.viewOf(ctx, done, records{})
	if err != nil {
		return err
	}
	v.Status, v.EndTime, v.ReasonForIncompletion = statuses[workflow.ExecutionRunning], 0, "" // as it began again, however fast it ended
	return compat.Answer(c.Writer, http.StatusOK, v)
}

// unsuccessful are the native tasks of an execution that a retry runs again. calls is true when there are calls of functions
// among them: a task that is completed from outside is natively a call and a wait, and where the wait did not succeed the
// engine alone would only wait again.
func (h *handlers) unsuccessful(ctx context.Context, x *engine.Execution, path string, known records) (from []string, calls bool, err error) {
	r, err := h.recordFor(ctx, x, known)
	if err != nil {
		return nil, false, err
	}
	native, order, err := h.nativeTasks(ctx, x.ID)
	if err != nil {
		return nil, false, err
	}
	async := map[string]bool{}
	var optional []string
	for _, ref := range r.Refs {
		if ref.Optional {
			optional = append(optional, ref.Ref)
		}
		async[ref.Ref] = ref.Async
	}
	for _, ref := range order {
		t := native[ref]
		holds := slices.ContainsFunc(order, func(inner string) bool { return strings.HasPrefix(inner, ref+".") })
		spared := slices.ContainsFunc(optional, func(o string) bool { return ref == o || strings.HasPrefix(ref, o+".") })
		if holds || spared || t.Status == workflow.TaskSucceeded || t.Status == workflow.TaskSkipped {
			continue
		}
		if t.Child != "" {
			child, err := h.engine.Execution(ctx, t.Child)
			if err != nil {
				return nil, false, err
			}
			inner, some, err := h.unsuccessful(ctx, child, path+ref+"/", known)
			if err != nil {
				return nil, false, err
			}
			calls = calls || some
			if len(inner) > 0 {
				from = append(from, inner...)
				continue
			}
		}
		if outer, done := strings.CutSuffix(ref, ".done"); done && async[outer] && native[outer+".call"] != nil {
			ref, calls = outer+".call", true
		}
		if !slices.Contains(from, path+ref) {
			from = append(from, path+ref)
		}
	}
	return from, calls, nil
}
