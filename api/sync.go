package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/carillon/carillon/dispatch"
	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/store"
)

// answerDocument is what one webhook answered, among those of others. What did not come is null.
type answerDocument struct {
	Webhook      event.ID `json:"webhook"`
	Status       *int     `json:"status"`
	ContentType  *string  `json:"content_type"`
	Body         any      `json:"body"`
	BodyEncoding string   `json:"body_encoding,omitempty"`
	Error        *string  `json:"error"`
	DurationMS   *int64   `json:"duration_ms"`
}

// webhookOutcome is what one webhook did that gave no answer.
type webhookOutcome struct {
	Webhook    event.ID `json:"webhook"`
	Status     *int     `json:"status"`
	Error      *string  `json:"error"`
	DurationMS int64    `json:"duration_ms"`
}

// showAnswer shows an answer whose whole body was read.
func showAnswer(a dispatch.Answer) answerDocument { return showAnswerAs(a, textOf(a.Body, false)) }

func showAnswerAs(a dispatch.Answer, body foreignText) answerDocument {
	took := a.Attempt.Duration.Milliseconds()
	doc := answerDocument{
		Webhook: a.Webhook, Status: statusOrNull(a.Attempt.Status), ContentType: orNull(a.ContentType),
		Error: errorClass(a.Attempt.Outcome), DurationMS: &took,
	}
	switch {
	case a.TooLarge:
		doc.Error = orNull(event.ErrTooLarge.String())
	case a.Attempt.Status != 0:
		doc.Body, doc.BodyEncoding = body.text, body.encoding
	}
	return doc
}

// errorTimeout is what stands for the answer of a webhook that gave none in time.
const errorTimeout = "timeout"

// preference is what a poster wants to wait for.
type preference struct {
	wait time.Duration // 0: nothing
	mode dispatch.Mode
}

// readPreference reads Prefer and respond.
func readPreference(r *http.Request) (preference, *problem) {
	var pref preference
	q := readQuery(r, "respond")
	switch text, given := q.text("respond"); {
	case !given || text == "first":
		pref.mode = dispatch.First
	case text == "success":
		pref.mode = dispatch.FirstSuccess
	case text == "all":
		pref.mode = dispatch.All
	default:
		q.wrong("respond", "must be first, success or all")
	}
	wait, err := parsePrefer(r.Header["Prefer"])
	if err != nil {
		q.wrong("Prefer", "%s", err)
	}
	pref.wait = wait
	return pref, q.problem()
}

// publishAndWait stores one event and answers with what webhooks answer to it.
func (a *API) publishAndWait(w http.ResponseWriter, r *http.Request, draft store.Draft, pref preference) *problem {
	if draft.Event.Owed() == 0 {
		return a.replayAndWait(w, r, draft, pref)
	}
	// Expected before it is stored: an answer can come before the receipt does.
	id := draft.Event.ID
	wait := a.dispatch.Expect(id, pref.mode, draft.Event.Matches)
	defer a.dispatch.Release(id, wait)
	receipts, p := a.append(r, []store.Draft{draft})
	if p != nil {
		return p
	}
	if receipts[0].Replayed {
		return a.joinWait(w, r, receipts[0], pref)
	}
	return a.await(w, r, wait, receipts[0], owedTo(draft.Event.Matches), pref)
}

// replayAndWait answers a poster for whose event nobody is there: with the first receipt, if this is a request that was
// made before, as webhooks may have gone since. Otherwise nothing is stored.
func (a *API) replayAndWait(w http.ResponseWriter, r *http.Request, draft store.Draft, pref preference) *problem {
	receipt, replayed, p := a.replayed(r, draft)
	if p != nil {
		return p
	}
	if replayed {
		return a.joinWait(w, r, receipt, pref)
	}
	a.metrics.waits.WithLabelValues("no-responders").Inc()
	return nobodyAnswers(draft.Event)
}

// nobodyAnswers is what to say where no webhook is owed an event.
func nobodyAnswers(e *event.Event) *problem {
	p := &problem{kind: kindNoResponders, retryAfter: 5,
		detail: "No enabled webhook matches " + string(e.Topic) + ". The event is not stored."}
	if slices.ContainsFunc(e.Matches, func(m event.Match) bool { return m.FilterError && !m.Disabled }) {
		p.detail = "No webhook is owed the event: the filters of those that match " + string(e.Topic) +
			" failed on it; their health says why. The event is not stored."
	}
	return p
}

// joinWait answers a poster whose event was stored before: with the wait of the first poster, if that goes on.
func (a *API) joinWait(w http.ResponseWriter, r *http.Request, receipt store.Receipt, pref preference) *problem {
	wait, ok := a.dispatch.Join(receipt.ID)
	if !ok {
		a.metrics.waits.WithLabelValues("replayed").Inc()
		writeReceipt(w, receipt)
		return nil
	}
	defer a.dispatch.Release(receipt.ID, wait)
	// The first request's matches are whom the event went to, not those of this one.
	e, err := a.store.Event(r.Context(), tenantOf(r), receipt.ID)
	if errors.Is(err, store.ErrNotFound) {
		writeReceipt(w, receipt) // retention has removed it: the receipt is what is left
		return nil
	}
	if err != nil {
		return a.readProblem(r, "reading an event", err)
	}
	return a.await(w, r, wait, receipt, owedTo(e.Matches), pref)
}

// await answers with what the wait brings, or with the receipt.
func (a *API) await(w http.ResponseWriter, r *http.Request, wait *dispatch.Wait, receipt store.Receipt, owed []event.ID, pref preference) *problem {
	ctx, end := a.waits.begin(r.Context(), pref.wait)
	defer end()
	result := a.answerWaiting(ctx, w, wait, receipt, owed, pref)
	if result.refused != nil {
		if receipt.Replayed {
			w.Header().Set("Idempotent-Replayed", "true")
		}
		w.Header().Set("Carillon-Event-Id", receipt.ID.String())
	}
	a.metrics.waits.WithLabelValues(result.name).Inc()
	return result.refused
}

// waitResult is how a wait ended: as the metric calls it, and the problem if it was one.
type waitResult struct {
	name    string
	refused *problem
}

func (a *API) answerWaiting(ctx context.Context, w http.ResponseWriter, wait *dispatch.Wait, receipt store.Receipt,
	owed []event.ID, pref preference,
) waitResult {
	verdict := wait.Await(ctx)
	if pref.mode == dispatch.All {
		setWaited(w, receipt, pref)
		writeJSON(w, http.StatusOK, showAll(owed, verdict.Answers))
		if verdict.Complete {
			return waitResult{name: "all"}
		}
		return waitResult{name: "timeout"}
	}
	decided := verdict.Decided
	if decided == nil && verdict.Complete {
		// A poster who joined the wait of one who waits for all is content with less.
		decided = firstSuccess(verdict.Answers)
	}
	switch {
	case decided != nil:
		return writeWebhooksAnswer(w, receipt, decided, pref)
	case verdict.Complete:
		return waitResult{"no-answer", noAnswer(verdict.Answers)}
	default:
		writeReceipt(w, receipt)
		return waitResult{name: "timeout"}
	}
}

func firstSuccess(answers []dispatch.Answer) *dispatch.Answer {
	for i := range answers {
		if answers[i].Attempt.Outcome == event.Success {
			return &answers[i]
		}
	}
	return nil
}

// owedTo returns the webhooks of the matches that were owed a delivery.
func owedTo(matches []event.Match) []event.ID {
	ids := make([]event.ID, 0, len(matches))
	for _, m := range matches {
		if m.Owed() {
			ids = append(ids, m.Webhook)
		}
	}
	return ids
}

// showAll shows each webhook's answer, and those that gave none in time.
func showAll(owed []event.ID, answers []dispatch.Answer) []answerDocument {
	byWebhook := make(map[event.ID]dispatch.Answer, len(answers))
	for _, answer := range answers {
		byWebhook[answer.Webhook] = answer
	}
	docs := make([]answerDocument, len(owed))
	for i, id := range owed {
		if answer, ok := byWebhook[id]; ok {
			docs[i] = showAnswer(answer)
		} else {
			docs[i] = answerDocument{Webhook: id, Error: orNull(errorTimeout)}
		}
	}
	return docs
}

func noAnswer(answers []dispatch.Answer) *problem {
	p := kindNoAnswer.is("Every webhook that matched has given up, or was called off. The event is stored.")
	p.outcomes = make([]webhookOutcome, len(answers))
	for i, answer := range answers {
		shown := showAnswer(answer)
		p.outcomes[i] = webhookOutcome{answer.Webhook, shown.Status, shown.Error, *shown.DurationMS}
	}
	return p
}

// setWaited sets the headers that say that the poster's wish was granted.
func setWaited(w http.ResponseWriter, receipt store.Receipt, pref preference) {
	h := w.Header()
	h.Set("Carillon-Event-Id", receipt.ID.String())
	h.Set("Preference-Applied", "wait="+strconv.Itoa(int(pref.wait/time.Second)))
	h.Set("Cache-Control", "no-store")
	if receipt.Replayed {
		h.Set("Idempotent-Replayed", "true")
	}
}

// writeWebhooksAnswer passes a webhook's answer on to the poster.
func writeWebhooksAnswer(w http.ResponseWriter, receipt store.Receipt, answer *dispatch.Answer, pref preference) waitResult {
	status := answer.Attempt.Status
	switch {
	case answer.TooLarge:
		return waitResult{"answer-too-large", kindAnswerTooLarge.is(
			"Webhook %s answered with status %d and more than %d bytes.", answer.Webhook, status, dispatch.MaxAnswer)}
	case status < 200:
		// 101 and the like end nothing: they are the beginning of something that cannot be passed on.
		p := noAnswer([]dispatch.Answer{*answer})
		p.detail = "The webhook answered with status " + strconv.Itoa(status) + ", which cannot be passed on. The event is stored."
		return waitResult{"no-answer", p}
	}
	setWaited(w, receipt, pref)
	h := w.Header()
	h.Set("Carillon-Webhook-Id", answer.Webhook.String())
	h.Set("Content-Security-Policy", contentPolicy)
	if status == http.StatusNoContent || status == http.StatusResetContent || status == http.StatusNotModified {
		w.WriteHeader(status)
		return waitResult{name: "answered"}
	}
	// An answer that does not say what it is stays one: nil keeps net/http from guessing.
	h["Content-Type"] = nil
	switch {
	case answer.ContentType == "":
	case tellable(answer.ContentType):
		h.Set("Content-Type", answer.ContentType)
	default:
		h.Set("Content-Type", "application/octet-stream")
	}
	if answer.ContentEncoding != "" && tellable(answer.ContentEncoding) {
		h.Set("Content-Encoding", answer.ContentEncoding)
	}
	w.WriteHeader(status)
	w.Write(answer.Body)
	return waitResult{name: "answered"}
}
