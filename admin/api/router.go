package api

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"

	"github.com/countersign/countersign/admin/wire"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/httpx"
)

// router is the one place where huma meets gin. It routes by exact path, as it was sent.
type router struct {
	service *service
	engine  *gin.Engine
}

func newRouter(s *service) *router {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.HandleMethodNotAllowed = true
	engine.RedirectTrailingSlash = false
	engine.RedirectFixedPath = false
	engine.UseEscapedPath = true
	engine.ForwardedByClientIP = false
	engine.NoRoute(s.refuse(fault.New(fault.NotFound, "there is nothing at this address")))
	engine.NoMethod(s.refuse(fault.New(fault.MethodNotAllowed, "the Allow header names the methods of this address")))
	return &router{service: s, engine: engine}
}

func (s *service) refuse(why error) gin.HandlerFunc {
	return func(c *gin.Context) { httpx.Fail(c.Writer, c.Request, why, s.write) }
}

// ServeHTTP implements http.Handler.
func (t *router) ServeHTTP(w http.ResponseWriter, r *http.Request) { t.engine.ServeHTTP(w, r) }

// Handle implements huma.Adapter. What is read by GET answers HEAD as well.
func (t *router) Handle(op *huma.Operation, handle func(huma.Context)) {
	described, _ := op.Metadata[metadata].(*operation)
	t.add(op.Method, op.Path, func(c *gin.Context) {
		call, err := t.service.admit(c.Writer, c.Request, described)
		if err == nil {
			defer call.leave()
		}
		if err == nil && slices.ContainsFunc(c.Params, func(p gin.Param) bool { return nobody(p.Value) }) {
			err = fault.New(fault.NotFound, "it does not exist")
		}
		if err != nil {
			httpx.Fail(c.Writer, c.Request, err, t.service.write)
			return
		}
		c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), callKey{}, call))
		handle(&exchange{humaContext: humagin.NewContext(op, c), request: c.Request, answer: c.Writer})
	})
}

// add routes a path of the OpenAPI document, which is below wire.Base.
func (t *router) add(method, path string, handle gin.HandlerFunc) {
	route := wire.Base + path
	pattern := strings.NewReplacer("{", ":", "}", "").Replace(route)
	named := func(c *gin.Context) {
		httpx.From(c.Request.Context()).Route = route
		httpx.NoStore(c.Writer.Header())
		handle(c)
	}
	t.engine.Handle(method, pattern, named)
	if method == http.MethodGet {
		t.engine.Handle(http.MethodHead, pattern, named)
	}
}

// humaContext has a name of its own since huma.Context has a method Context.
type humaContext = huma.Context

// exchange is a request and its answer as huma sees them. huma gets a body that was read already.
type exchange struct {
	humaContext

	request *http.Request
	answer  http.ResponseWriter
	refused bool
}

// SetReadDeadline implements huma.Context. There is nothing left to read, and a deadline that passes while the request is worked on
// would end its context.
func (*exchange) SetReadDeadline(time.Time) error { return nil }

// BodyWriter implements huma.Context. What was refused is answered in full.
func (x *exchange) BodyWriter() io.Writer {
	if x.refused {
		return io.Discard
	}
	return x.humaContext.BodyWriter()
}

// SetStatus implements huma.Context.
func (x *exchange) SetStatus(status int) {
	if !x.refused {
		x.humaContext.SetStatus(status)
	}
}
