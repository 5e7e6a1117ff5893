// Package sdktest is an OAuth 2.0 authorization server for tests. It signs for real, answers as Countersign does, and can be made to
// do everything wrong.
//
// [Start] has it listen on loopback; [New] keeps it in memory, without a port, so that it works within testing/synctest. One client is
// there from the start ([Issuer.ClientID], [Issuer.ClientSecret]); any client gets a token for whatever resource and scopes it asks for, and
// may introspect every token and read the revocation feed.
//
//	issuer := sdktest.New()
//	verifier, err := sdk.NewVerifier(issuer.URL(), "https://inventory.example.com",
//		sdk.WithHTTPClient(issuer.Client()), sdk.WithCredentials(issuer.ClientID(), sdk.Secret(issuer.ClientSecret())))
//	token := issuer.Token("https://inventory.example.com", "inventory:read")
//
// What can be had from it:
//
//   - tokens: [Issuer.Token], and whatever [Issuer.Mint] and [Issuer.MintOpaque] are told to say
//   - clients and what they authenticate by: [Issuer.AddClient], [Issuer.RotateSecret], [Issuer.AddKey], [Issuer.AddCertificate],
//     [Issuer.AddWorkload]; tokens bound by DPoP for whoever sends a proof, and nonces: [WithDPoPNonces], [Issuer.RenewNonce]
//   - keys: [Issuer.RotateKeys], [Issuer.PublishKey], [Issuer.WithdrawKey]
//   - revocations: [Issuer.Revoke], [Issuer.RevokeClient] and their like; the feed's own whims: [Issuer.Age], [Issuer.Lag], [Issuer.Forget],
//     [Issuer.NewGeneration], [Issuer.Publish]
//   - failures: [Issuer.Fail], [Issuer.Down], [Issuer.CutFeed], [Issuer.CutStream], [Issuer.EndStreams], until [Issuer.Heal]
//   - slowness: [Issuer.Slow], [Issuer.Hold], [Issuer.HoldFeed], [Issuer.Block]
//   - wrong answers: [Issuer.WrongIssuer], [Issuer.Alter], [Issuer.Replace], [WithExpiredCertificate]
//   - what came: [Issuer.Requests], [Issuer.Log], [Issuer.Await], [Issuer.Refused]
//   - another server than Countersign: [WithoutFeed], [WithOpenIDConfiguration]
//
// A handler's test needs none of this, but only a caller: [NewContext].
//
// Every switch works while requests are under way. Nothing here is for production: it keeps secrets and tokens in the clear and forgets none.
package sdktest
