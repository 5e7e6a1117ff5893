package server

import (
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/httpx"
)

const (
	tokenPath      = "/oauth2/token" //nolint:gosec // a path, no credential
	introspectPath = "/oauth2/introspect"
	revokePath     = "/oauth2/revoke"
	feedPath       = "/oauth2/revocations"
	jwksPath       = "/oauth2/jwks"
	adminPath      = "/admin/v1"

	authorizationServer = "/.well-known/oauth-authorization-server"
	openidConfiguration = "/.well-known/openid-configuration"
)

// route is an endpoint. One that is read by GET answers HEAD as well.
type route struct {
	method string
	path   string
	name   string // in metrics; empty: a probe, neither counted nor logged at the info level
	handle httpx.Handler
}

func (s *Server) publicRoutes() []route {
	routes := []route{
		{http.MethodPost, s.path + tokenPath, "token", s.token},
		{http.MethodPost, s.path + introspectPath, "introspect", s.introspect},
		{http.MethodPost, s.path + revokePath, "revoke", s.revoke},
		{http.MethodGet, s.path + jwksPath, "jwks", s.jwks},
		// RFC 8414 §3.1 puts the issuer's path behind the well-known part, OpenID Connect Discovery §4 before it.
		{http.MethodGet, authorizationServer + s.path, "metadata", s.metadata},
		{http.MethodGet, openidConfiguration + s.path, "metadata", s.metadata},
		{http.MethodGet, "/healthz", "", s.alive},
		{http.MethodGet, "/readyz", "", s.ready},
	}
	if s.path != "" {
		routes = append(routes, route{http.MethodGet, s.path + openidConfiguration, "metadata", s.metadata})
	}
	if s.config.Feed != nil {
		routes = append(routes,
			route{http.MethodGet, s.path + feedPath, "revocations", s.revocations},
			route{http.MethodPost, s.path + feedPath, "revocations", s.revocations})
	}
	return routes
}

func (s *Server) adminRoutes() []route {
	routes := []route{
		{http.MethodGet, "/healthz", "", s.alive},
		{http.MethodGet, "/readyz", "", s.ready},
	}
	if s.config.Gatherer != nil {
		exposition := promhttp.HandlerFor(s.config.Gatherer, promhttp.HandlerOpts{})
		routes = append(routes, route{http.MethodGet, "/metrics", "", func(w http.ResponseWriter, r *http.Request) error {
			exposition.ServeHTTP(w, r)
			return nil
		}})
	}
	if s.config.AdminAPI != nil {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			routes = append(routes, route{method, adminPath + "/*path", "admin", s.adminAPI})
		}
	}
	return routes
}

// adminAPI leaves it to the admin API to name the route that matched.
func (s *Server) adminAPI(w http.ResponseWriter, r *http.Request) error {
	s.config.AdminAPI.ServeHTTP(w, r)
	return nil
}

// handler routes by exact path, as it was sent: no cleaning, no decoding, no redirect. So there is one way to name an
// endpoint, and no second one that something in front of the server does not know.
func (s *Server) handler(write httpx.FaultWriter, routes []route) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.HandleMethodNotAllowed = true
	engine.RedirectTrailingSlash = false
	engine.RedirectFixedPath = false
	engine.UseEscapedPath = true
	engine.ForwardedByClientIP = false
	for _, r := range routes {
		handle := s.adapt(r, write)
		engine.Handle(r.method, r.path, handle)
		if r.method == http.MethodGet {
			engine.Handle(http.MethodHead, r.path, handle)
		}
	}
	engine.NoRoute(s.refuse(fault.New(fault.NotFound, "there is nothing at this address"), write))
	engine.NoMethod(s.refuse(fault.New(fault.MethodNotAllowed, "the Allow header names the methods of this address"), write))
	edge := &httpx.Edge{Log: s.config.Log, Proxies: s.config.Proxies, Now: s.config.Now, Write: write}
	wrapped := edge.Wrap(engine)
	if s.config.Middleware != nil {
		wrapped = s.config.Middleware(wrapped)
	}
	return wrapped
}

// adapt is the one place where a handler meets gin.
func (s *Server) adapt(r route, write httpx.FaultWriter) gin.HandlerFunc {
	handle := r.handle.With(write)
	if r.name != "" {
		handle = s.metrics.measure(r.name, s.config.Now, handle)
	}
	return func(c *gin.Context) {
		exchange := httpx.From(c.Request.Context())
		exchange.Route, exchange.Quiet = r.path, r.name == ""
		handle.ServeHTTP(c.Writer, c.Request)
	}
}

func (s *Server) refuse(why *fault.Error, write httpx.FaultWriter) gin.HandlerFunc {
	handle := s.metrics.measure("none", s.config.Now, httpx.Handler(func(http.ResponseWriter, *http.Request) error {
		return why
	}).With(write))
	return func(c *gin.Context) { handle.ServeHTTP(c.Writer, c.Request) }
}
