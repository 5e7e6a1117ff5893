// What the scripts about keys share: how a refused client looks, whatever the library.
import assert from 'node:assert/strict'
import { world } from './world.mjs'

const jose = await import('jose')

// The audiences for which a client with a key asks: of a JWT and of an opaque token.
export const audiences = [world.apis.ES256, world.opaque]

// privateKey imports the key that OpenSSL made for a client.
export const privateKey = (algorithm) => jose.importPKCS8(world.keys[algorithm].pem, algorithm)

// unauthenticated wants the answer to a client that does not prove who it is, RFC 6749 §5.2.
export function unauthenticated(e) {
  assert.equal(e.status, 401, e)
  if (e.error !== undefined) assert.equal(e.error, 'invalid_client')
  return true
}

// badProof wants the answer to a request whose DPoP proof is not good, RFC 9449 §5.
export function badProof(e) {
  assert.equal(e.status, 400, e)
  assert.equal(e.error, 'invalid_dpop_proof')
  return true
}

const now = () => Math.floor(Date.now() / 1000)

// wrongAssertions are what is wrong with one, and must be refused, by its id in the conformance checklist.
export const wrongAssertions = {
  'A19 for the token endpoint': (_, claims, metadata) => { claims.aud = metadata.token_endpoint },
  'A20 for somebody else too': (_, claims) => { claims.aud = [world.issuer, 'https://other.test'] },
  'A21 no exp': (_, claims) => { delete claims.exp },
  'A22 expired': (_, claims) => { claims.iat = now() - 7200; claims.nbf = claims.iat; claims.exp = now() - 3600 },
  'A23 lives for a day': (_, claims) => { claims.exp = now() + 86400 },
  'A24 not yet valid': (_, claims) => { claims.nbf = now() + 3600 },
  'A26 from the future': (_, claims) => { claims.iat = now() + 90 },
  'A27 no jti': (_, claims) => { delete claims.jti },
  'A31 issued by another': (_, claims) => { claims.iss = world.caller.id },
  'A37 unknown crit': (header) => { header.crit = ['countersign'] ; header.countersign = true },
  'A40 kid is a path': (header) => { header.kid = '../../dev/null' },
}

// goodAssertions are of an unusual form, and must be taken.
export const goodAssertions = {
  'A17 for the issuer': () => {},
  'A18 for a list with the issuer alone': (_, claims) => { claims.aud = [world.issuer] },
  'A25 from a clock that is ahead': (_, claims) => { claims.iat = now() + 5; delete claims.nbf },
}

// wrongProofs are what is wrong with a DPoP proof.
export const wrongProofs = {
  'D03 for another address': (_, claims) => { claims.htu = 'https://other.test/oauth2/token' },
  'D05 for another method': (_, claims) => { claims.htm = 'GET' },
  'D06 typ JWT': (header) => { header.typ = 'JWT' },
  'D08 no jti': (_, claims) => { delete claims.jti },
  ...(world.nonces ? {} : {
    'D07 old': (_, claims) => { claims.iat = now() - 3600 },
    'D07 from the future': (_, claims) => { claims.iat = now() + 3600 },
  }),
}

// goodProofs are of an unusual form, and must be taken.
export const goodProofs = {
  'D01 as it is': () => {},
  'D04 address with a query and in capitals': (_, claims) => { claims.htu = claims.htu.replace('http:', 'HTTP:') + '?a=b#c' },
}
