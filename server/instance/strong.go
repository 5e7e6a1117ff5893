package instance

import (
	"fmt"
	"maps"
	"slices"

	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/sdk/proof"
	"github.com/countersign/countersign/server"
	"github.com/countersign/countersign/server/assertion"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/certificate"
	"github.com/countersign/countersign/server/keys"
	"github.com/countersign/countersign/server/outbound"
	"github.com/countersign/countersign/server/remotekeys"
)

// openOutbound makes what fetches the keys of others, and what judges the addresses that they are to be fetched from.
func (p *parts) openOutbound(i *Instance) (err error) {
	s := i.config.Settings
	if p.outbound, err = outbound.New(outbound.Config{Allow: s.OutboundAllow, CAFile: s.OutboundCA}); err != nil {
		return err
	}
	i.registry.CheckURL = p.outbound.CheckURL
	p.remote, err = remotekeys.New(remotekeys.Config{Client: p.outbound, Log: i.config.Logger, Registerer: i.metrics})
	return err
}

// authenticator tells clients by whatever they are registered for.
func (p *parts) authenticator(i *Instance) (*auth.Authenticator, error) {
	s := i.config.Settings
	assertions, err := assertion.New(assertion.Config{Issuer: s.Issuer, Keys: p.remote, Directory: p.directory, Now: i.config.Now})
	if err != nil {
		return nil, err
	}
	certificates := &certificate.Checker{Documents: p.remote, Directory: p.directory, Now: i.config.Now}
	if s.TLSClientCA != "" {
		authorities, err := httpx.LoadAuthorities(s.TLSClientCA, i.config.Logger, i.config.Now)
		if err != nil {
			return nil, fmt.Errorf("setting tls_client_ca: %w", err)
		}
		certificates.Authorities = authorities.Pool
	}
	return &auth.Authenticator{
		Directory: p.directory, Peppers: p.peppers.Load, Now: i.config.Now, Imported: p.imported, Assertions: assertions, Certificates: certificates,
	}, nil
}

// strengthen tells a server what clients may prove beside their secrets.
func (p *parts) strengthen(c *server.Config, i *Instance) (err error) {
	s := i.config.Settings
	if c.CertificateProxies, err = httpx.ParseProxies(s.ClientCertFrom); err != nil {
		return fmt.Errorf("setting client_cert_from: %w", err)
	}
	c.MutualTLS, c.MutualTLSURL = s.mutualTLS(), s.MTLSURL
	c.Proofs, c.Nonces, c.RequireNonce = i.store, p.nonces.Load, s.DPoPNonceRequired
	c.Authenticator, err = p.authenticator(i)
	return err
}

// loadNonces takes the newest key: nonces live for minutes, and there is one version.
func (p *parts) loadNonces(all []*auth.SealedKey, i *Instance) error {
	opened, err := keys.OpenSealed(all, auth.PurposeNonce, i.master)
	if err != nil {
		return err
	}
	nonces, err := proof.NewNonces(opened[slices.Max(slices.Collect(maps.Keys(opened)))])
	if err != nil {
		return err
	}
	p.nonces.Store(nonces)
	return nil
}
