import assert from 'node:assert/strict'
import { check, world } from './world.mjs'

const jose = await import('jose')

const metadata = await (await fetch(`${world.issuer}/.well-known/openid-configuration`)).json()
const keys = jose.createRemoteJWKSet(new URL(metadata.jwks_uri))

async function post(endpoint, who, parameters, accept = 'application/json') {
  const authorization = `Basic ${Buffer.from(`${who.id}:${who.secret}`).toString('base64')}`
  return fetch(endpoint, { method: 'POST', headers: { authorization, accept }, body: new URLSearchParams(parameters) })
}

async function token(resource) {
  const response = await post(metadata.token_endpoint, world.caller, { grant_type: 'client_credentials', resource, scope: 'read' })
  assert.equal(response.status, 200)
  return (await response.json()).access_token
}

async function introspect(who, presented) {
  const response = await post(metadata.introspection_endpoint, who, { token: presented }, 'application/token-introspection+jwt')
  assert.equal(response.status, 200)
  assert.equal(response.headers.get('content-type'), 'application/token-introspection+jwt')
  return response.text()
}

for (const [algorithm, audience] of Object.entries(world.apis)) {
  const presented = await token(audience)

  await check(`JWT access token: ${algorithm}`, async () => {
    const expected = { issuer: world.issuer, audience, typ: 'at+jwt', algorithms: [algorithm], requiredClaims: ['exp', 'iat', 'jti', 'client_id'] }
    const { payload } = await jose.jwtVerify(presented, keys, expected)
    assert.equal(payload.sub, world.caller.id)
    await assert.rejects(jose.jwtVerify(presented, keys, { ...expected, audience: world.opaque }), { code: 'ERR_JWT_CLAIM_VALIDATION_FAILED' })
  })

  await check(`I15 signed introspection: ${algorithm}`, async () => {
    const expected = { issuer: world.issuer, audience: world.server.id, typ: 'token-introspection+jwt', algorithms: [algorithm], maxTokenAge: '1 minute' }
    const { payload } = await jose.jwtVerify(await introspect(world.server, presented), keys, expected)
    assert.deepEqual(Object.keys(payload).sort(), ['aud', 'iat', 'iss', 'token_introspection'])
    assert.equal(payload.token_introspection.active, true)
    assert.equal(payload.token_introspection.aud, audience)
  })

  await check(`attack 17 a signed answer is no access token: ${algorithm}`, async () => {
    const answer = await introspect(world.server, presented)
    await assert.rejects(jose.jwtVerify(answer, keys, { typ: 'at+jwt' }), { code: 'ERR_JWT_CLAIM_VALIDATION_FAILED' })
    const { payload } = await jose.jwtVerify(await introspect(world.server, answer), keys)
    assert.deepEqual(payload.token_introspection, { active: false })
  })
}

await check('I15 signed introspection of what is no business of the caller', async () => {
  const { payload, protectedHeader } = await jose.jwtVerify(await introspect(world.stranger, await token(world.opaque)), keys, { audience: world.stranger.id })
  assert.equal(protectedHeader.alg, 'ES256')
  assert.deepEqual(payload.token_introspection, { active: false })
})
