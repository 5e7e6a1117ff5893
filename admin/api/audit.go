package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"

	"github.com/countersign/countersign/admin/wire"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// Filter selects events of the audit log.
type Filter struct {
	Actor  auth.ClientID `query:"actor" doc:"Only what this client did: its id."`
	Target string        `query:"target" maxLength:"200" doc:"Only what was done to this: an id."`
	Action string        `query:"action" maxLength:"100" doc:"Only this action." example:"client.disable"`
	From   time.Time     `query:"from" doc:"Only what was done at this time or later."`
	Until  time.Time     `query:"until" doc:"Only what was done before this time."`
}

func (f *Filter) query() auth.AuditQuery {
	return auth.AuditQuery{Actor: f.Actor, Target: f.Target, Action: f.Action, From: f.From, Until: f.Until}
}

type eventsInput struct {
	Paging
	Filter

	Order string `query:"order" enum:"newest,oldest" default:"newest" doc:"Which come first."`
}

type eventInput struct {
	Event auth.EventID `path:"event_id"`
}

type failuresInput struct {
	Client auth.ClientID `query:"client_id" doc:"Only those of this client."`
	Limit  int           `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"How many at most."`
}

type verifyInput struct {
	Body *wire.AuditVerification
}

const verifyTime = 5 * time.Minute

// audit adds the operations on the audit log.
func (s *service) audit() {
	read := needs(auth.ScopeAuditRead)
	add(s, operation{
		id: "listEvents", method: http.MethodGet, path: "/audit", tag: tagAudit, scopes: read, summary: "List events",
		about: "Every change has exactly one, written in its transaction.",
	}, s.listEvents)
	add(s, operation{
		id: "getAuditHead", method: http.MethodGet, path: "/audit/head", tag: tagAudit, scopes: read, summary: "Read how far the log has come",
		about: "Keep the answer outside of the database. Given to the check later, it proves that nothing up to it was changed, removed or reordered.",
	}, s.getAuditHead)
	add(s, operation{
		id: "verifyAudit", method: http.MethodPost, path: "/audit/verify", tag: tagAudit, scopes: read, summary: "Check the log",
		about: "Against its chain and, if one is sent, a head from earlier. A log that does not hold is a report with `ok` false.",
		body:  true, reads: true, patience: verifyTime,
	}, s.verifyAudit)
	add(s, operation{
		id: "exportAudit", method: http.MethodGet, path: "/audit/export", tag: tagAudit, scopes: read, summary: "Export the log",
		about: "One event a line, as JSON, the oldest first. With `follow` the answer goes on with what happens, until the caller leaves, may read no " +
			"more, or the server ends: go on with `after`, the number of the last event. An empty line now and then says that nothing happened.",
		stream: true,
	}, s.exportAudit)
	add(s, operation{
		id: "listFailures", method: http.MethodGet, path: "/audit/failures", tag: tagAudit, scopes: read, summary: "List failed authentications",
		about: "The newest first. Those of one kind at nearly the same time are one entry with a count; old ones are dropped, so that nobody fills the disk.",
	}, s.listFailures)
	add(s, operation{
		id: "getEvent", method: http.MethodGet, path: "/audit/{event_id}", tag: tagAudit, scopes: read, summary: "Read an event",
		about: "As it was written.", faults: codes{fault.NotFound},
	}, s.getEvent)
}

func (s *service) listEvents(ctx context.Context, in *eventsInput) (*page[wire.Event], error) {
	c := from(ctx)
	at, err := in.parse(c)
	if err != nil {
		return nil, err
	}
	q := in.query()
	q.Descending, q.Limit = in.Order == "newest", in.Limit+1
	if at != nil {
		q.After = at.Number
	}
	found, err := c.registry.Events(ctx, c.actor, q)
	if err != nil {
		return nil, err
	}
	return listed(c, in.Paging, found, showEvent, func(e *auth.AuditEvent) cursor { return cursor{Number: e.Number} }), nil
}

func (s *service) getEvent(ctx context.Context, in *eventInput) (*answer[wire.Event], error) {
	c := from(ctx)
	found, err := c.registry.Event(ctx, c.actor, in.Event)
	if err != nil {
		return nil, err
	}
	return answered(showEvent(found), nil)
}

func (s *service) getAuditHead(ctx context.Context, _ *struct{}) (*answer[wire.AuditHead], error) {
	c := from(ctx)
	head, err := c.registry.AuditHead(ctx, c.actor)
	return answered(wire.AuditHead{Number: head.Number, Chain: binary(head.Chain), Seal: binary(head.Seal)}, err)
}

func (s *service) verifyAudit(ctx context.Context, in *verifyInput) (*answer[wire.AuditReport], error) {
	c := from(ctx)
	head, err := headOf(in.Body)
	if err != nil {
		return nil, err
	}
	report, err := c.registry.VerifyAudit(ctx, c.actor, head)
	if err != nil {
		return nil, err
	}
	out := wire.AuditReport{OK: report.OK, Events: report.Events, From: report.From, To: report.To, Note: report.Note}
	for _, defect := range report.Broken {
		out.Broken = append(out.Broken, wire.AuditDefect(defect))
	}
	return answered(out, nil)
}

func headOf(body *wire.AuditVerification) (*auth.AuditHead, error) {
	if body == nil || body.Head == nil {
		return nil, nil //nolint:nilnil // none is given
	}
	head := &auth.AuditHead{Number: body.Head.Number}
	for _, field := range []struct {
		name, text string
		to         *[32]byte
	}{{"chain", body.Head.Chain, &head.Chain}, {"seal", body.Head.Seal, &head.Seal}} {
		value, err := base64.RawURLEncoding.Strict().DecodeString(field.text)
		if err != nil || copy(field.to[:], value) != len(value) || len(value) != len(field.to) {
			why := fault.Wrap(fault.InvalidRequest, "is not what the head of an audit log holds", err).At("head")
			why.Violations = []fault.Violation{{Pointer: "#/head/" + field.name, Detail: why.Detail}}
			return nil, why
		}
	}
	return head, nil
}

func (s *service) listFailures(ctx context.Context, in *failuresInput) (*answer[wire.List[wire.Failure]], error) {
	c := from(ctx)
	var client *auth.ClientID
	if in.Client != (auth.ClientID{}) {
		client = &in.Client
	}
	found, err := c.registry.Failures(ctx, c.actor, client, in.Limit)
	out := wire.List[wire.Failure]{Items: []wire.Failure{}}
	for _, f := range found {
		out.Items = append(out.Items, wire.Failure{
			At: f.At.UTC(), Client: textUnlessZero(f.Client), Reason: f.Reason, Source: f.Source, Request: f.Request, Count: f.Count,
		})
	}
	return answered(out, err)
}

func showEvent(e *auth.AuditEvent) wire.Event {
	return wire.Event{
		ID: e.ID.String(), Number: e.Number, At: e.At.UTC(), Action: e.Action, Target: e.Target, Changes: json.RawMessage(e.Changes), Chain: binary(e.Chain),
		Actor: wire.Actor{
			Client: textUnlessZero(e.Actor.Client), Secret: textUnlessZero(e.Actor.Credential), Name: e.Actor.Name, Source: e.Actor.Source,
			Request: e.Actor.Request,
		},
	}
}

func binary(b [32]byte) string { return base64.RawURLEncoding.EncodeToString(b[:]) }
