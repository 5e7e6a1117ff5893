// Package sdkgin guards routes of gin with package sdk.
//
//	router.GET("/items", sdkgin.Require(verifier, sdk.RequireScope("inventory:read")), items)
//
// A handler asks for its caller with [Identity], or with [sdk.FromContext] of the request's context.
package sdkgin

import (
	"github.com/gin-gonic/gin"

	"github.com/countersign/countersign/sdk"
)

// Require returns a guard for routes and groups: requests go on if their token is valid and meets p, as
// [sdk.Verifier.VerifyRequest] has it; all others are answered by [sdk.Verifier.Reject], and aborted. If a group and a route within
// it have guards, both policies are to be met.
func Require(v *sdk.Verifier, p sdk.Policy) gin.HandlerFunc {
	return func(c *gin.Context) {
		if nonce := v.DPoPNonce(); nonce != "" {
			c.Header("DPoP-Nonce", nonce)
		}
		verified, err := v.VerifyRequest(c.Request, p)
		if err != nil {
			v.Reject(c.Writer, c.Request, err)
			c.Abort()
			return
		}
		c.Request = verified
	}
}

// Identity returns the caller of a guarded route, and false if there was no guard.
func Identity(c *gin.Context) (*sdk.Identity, bool) {
	return sdk.FromContext(c.Request.Context())
}
