// Makes assertions and proofs by hand, as those do who have no OAuth library.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { check, world } from './world.mjs'
import { audiences, privateKey } from './strong.mjs'

const jose = await import('jose')

const metadata = await (await fetch(`${world.issuer}/.well-known/oauth-authorization-server`)).json()
const keys = jose.createRemoteJWKSet(new URL(metadata.jwks_uri))
const type = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

async function assertion(algorithm, audience = world.issuer) {
  const { id } = world.keys[algorithm]
  return new jose.SignJWT().setProtectedHeader({ alg: algorithm }).setIssuer(id).setSubject(id).setAudience(audience)
    .setJti(randomUUID()).setIssuedAt().setExpirationTime('1 minute').sign(await privateKey(algorithm))
}

async function post(endpoint, parameters, headers = {}) {
  const response = await fetch(endpoint, { method: 'POST', body: new URLSearchParams(parameters), headers })
  return { status: response.status, nonce: response.headers.get('dpop-nonce'), ...(await response.json()) }
}

async function token(algorithm, parameters, headers) {
  const signed = { client_assertion_type: type, client_assertion: await assertion(algorithm) }
  return post(metadata.token_endpoint, { grant_type: 'client_credentials', ...signed, ...parameters }, headers)
}

async function verify(presented, audience) {
  const { payload } = await jose.jwtVerify(presented, keys, { issuer: world.issuer, audience, typ: 'at+jwt', maxTokenAge: '1 minute' })
  return payload
}

for (const algorithm of Object.keys(world.keys)) {
  await check(`private_key_jwt: ${algorithm}`, async () => {
    const { id } = world.keys[algorithm]
    for (const resource of audiences) {
      for (const client_id of [undefined, id]) { // RFC 7521 §4.2: optional
        const got = await token(algorithm, { resource, scope: 'read', ...(client_id && { client_id }) })
        assert.equal(got.status, 200, JSON.stringify(got))
        if (resource !== world.opaque) assert.equal((await verify(got.access_token, resource)).client_id, id)
      }
    }
  })
}

await check('A32 client_id of another client', async () => {
  const got = await token('ES256', { client_id: world.caller.id })
  assert.ok([400, 401].includes(got.status), JSON.stringify(got))
})

await check('A33 another client_assertion_type', async () => {
  for (const client_assertion_type of ['', 'urn:ietf:params:oauth:client-assertion-type:saml2-bearer']) {
    const got = await token('ES256', { client_assertion_type })
    assert.ok([400, 401].includes(got.status), JSON.stringify(got))
  }
})

await check('A35 HS256 by the public key', async () => {
  const { id, pem } = world.keys.ES256
  const secret = new TextEncoder().encode(pem)
  const forged = await new jose.SignJWT().setProtectedHeader({ alg: 'HS256' }).setIssuer(id).setSubject(id).setAudience(world.issuer)
    .setJti(randomUUID()).setIssuedAt().setExpirationTime('1 minute').sign(secret)
  const got = await post(metadata.token_endpoint, { grant_type: 'client_credentials', client_assertion_type: type, client_assertion: forged })
  assert.deepEqual([got.status, got.error], [401, 'invalid_client'])
})

await check('A38 by a key that the assertion brings along', async () => {
  const { id } = world.keys.ES256
  const { privateKey: mine, publicKey } = await jose.generateKeyPair('ES256')
  const header = { alg: 'ES256', jwk: await jose.exportJWK(publicKey) }
  const forged = await new jose.SignJWT().setProtectedHeader(header).setIssuer(id).setSubject(id).setAudience(world.issuer)
    .setJti(randomUUID()).setIssuedAt().setExpirationTime('1 minute').sign(mine)
  const got = await post(metadata.token_endpoint, { grant_type: 'client_credentials', client_assertion_type: type, client_assertion: forged })
  assert.deepEqual([got.status, got.error], [401, 'invalid_client'])
})

await check('attack 17 an assertion is no access token, attack 18 nor the other way round', async () => {
  const signed = await assertion('ES256')
  const authenticated = { client_assertion_type: type, client_assertion: await assertion('ES256') }
  assert.deepEqual((await post(metadata.introspection_endpoint, { ...authenticated, token: signed })).active, false)
  const { access_token: presented } = await token('ES256', { resource: world.apis.ES256 })
  const got = await post(metadata.token_endpoint, { grant_type: 'client_credentials', client_assertion_type: type, client_assertion: presented })
  assert.deepEqual([got.status, got.error], [401, 'invalid_client'])
})

await check('attack 17 a signed introspection answer is no assertion', async () => {
  const { access_token: presented } = await token('ES256', { resource: world.apis.ES256 })
  const response = await fetch(metadata.introspection_endpoint, {
    method: 'POST', headers: { accept: 'application/token-introspection+jwt' },
    body: new URLSearchParams({ client_assertion_type: type, client_assertion: await assertion('ES256'), token: presented }),
  })
  const answer = await response.text()
  const { payload } = await jose.jwtVerify(answer, keys, { audience: world.keys.ES256.id, typ: 'token-introspection+jwt' })
  assert.equal(payload.token_introspection.active, true) // its own token
  const got = await post(metadata.token_endpoint, { grant_type: 'client_credentials', client_assertion_type: type, client_assertion: answer })
  assert.deepEqual([got.status, got.error], [401, 'invalid_client'])
})

for (const algorithm of ['ES256', 'PS256', 'EdDSA']) {
  await check(`D01 DPoP: ${algorithm}`, async () => {
    const { privateKey: mine, publicKey } = await jose.generateKeyPair(algorithm)
    const jwk = await jose.exportJWK(publicKey)
    const proof = (nonce) => new jose.SignJWT({ htm: 'POST', htu: metadata.token_endpoint, ...(nonce && { nonce }) })
      .setProtectedHeader({ typ: 'dpop+jwt', alg: algorithm, jwk }).setJti(randomUUID()).setIssuedAt().sign(mine)
    for (const resource of audiences) {
      let got = await token('ES256', { resource, scope: 'read' }, { dpop: await proof() })
      if (world.nonces) {
        assert.deepEqual([got.status, got.error, typeof got.nonce], [400, 'use_dpop_nonce', 'string']) // D13
        got = await token('ES256', { resource, scope: 'read' }, { dpop: await proof(got.nonce) })
      }
      assert.deepEqual([got.status, got.token_type], [200, 'DPoP'], JSON.stringify(got))
      if (resource !== world.opaque) assert.equal((await verify(got.access_token, resource)).cnf.jkt, await jose.calculateJwkThumbprint(jwk))
    }
  })
}
