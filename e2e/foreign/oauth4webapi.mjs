import assert from 'node:assert/strict'
import { check, world } from './world.mjs'

const oauth = await import('oauth4webapi') // which wants what world.mjs makes

const options = { [oauth.allowInsecureRequests]: true } // the issuer is on loopback
const issuer = new URL(world.issuer)

async function discover(algorithm) {
  const response = await oauth.discoveryRequest(issuer, { ...options, algorithm })
  return oauth.processDiscoveryResponse(issuer, response)
}

const as = await discover('oauth2')

const basic = (who) => [{ client_id: who.id }, oauth.ClientSecretBasic(who.secret)]
const post = (who) => [{ client_id: who.id }, oauth.ClientSecretPost(who.secret)]

async function token([client, authentication], parameters) {
  const response = await oauth.clientCredentialsGrantRequest(as, client, authentication, new URLSearchParams(parameters), options)
  return oauth.processClientCredentialsResponse(as, client, response)
}

async function introspect([client, authentication], presented) {
  const response = await oauth.introspectionRequest(as, client, authentication, presented, options)
  return oauth.processIntrospectionResponse(as, client, response)
}

async function revoke([client, authentication], presented) {
  const response = await oauth.revocationRequest(as, client, authentication, presented, options)
  await oauth.processRevocationResponse(response)
}

function validate(presented, audience, algorithm) {
  const request = new Request('https://api.test.internal/', { headers: { authorization: `Bearer ${presented}` } })
  return oauth.validateJwtAccessToken(as, request, audience, { ...options, signingAlgorithms: [algorithm] })
}

// What the library says of a 400, and of a 401 with the challenge that RFC 6749 §5.2 asks for.
const refused = (error) => ({ name: 'ResponseBodyError', code: oauth.RESPONSE_BODY_ERROR, status: 400, error })
function challenged(e) {
  assert.equal(e.code, oauth.WWW_AUTHENTICATE_CHALLENGE)
  assert.equal(e.status, 401)
  assert.deepEqual(e.cause.map((challenge) => challenge.scheme), ['basic'])
  return true
}

await check('discovery by both algorithms', async () => {
  assert.equal(as.issuer, world.issuer)
  assert.deepEqual(await discover('oidc'), as)
})

for (const [way, caller] of Object.entries({ basic: basic(world.caller), post: post(world.poster) })) {
  await check(`token, introspection, revocation: ${way}`, async () => {
    const got = await token(caller, { resource: world.opaque, scope: 'read' })
    assert.equal(got.token_type, 'bearer')
    assert.equal(got.expires_in, 3600)
    assert.equal(got.scope, 'read')
    assert.equal(got.refresh_token, undefined)

    const found = await introspect(basic(world.server), got.access_token)
    assert.equal(found.active, true)
    assert.equal(found.client_id, caller[0].client_id)
    assert.equal(found.aud, world.opaque)
    assert.equal(found.scope, 'read')
    assert.deepEqual(await introspect(basic(world.stranger), got.access_token), { active: false })

    await revoke(caller, got.access_token)
    assert.deepEqual(await introspect(basic(world.server), got.access_token), { active: false })
    await revoke(caller, got.access_token)
  })
}

await check('nothing asked gives the whole grant on the default resource', async () => {
  const got = await token(basic(world.caller), {})
  assert.equal(got.scope, 'read write')
  assert.equal((await introspect(basic(world.server), got.access_token)).aud, world.apis.ES256)
})

for (const [algorithm, audience] of Object.entries(world.apis)) {
  await check(`JWT access token: ${algorithm}`, async () => {
    const { access_token: presented } = await token(basic(world.caller), { resource: audience, scope: 'read' })
    const claims = await validate(presented, audience, algorithm)
    assert.equal(claims.iss, world.issuer)
    assert.equal(claims.sub, world.caller.id)
    assert.equal(claims.client_id, world.caller.id)
    assert.equal(claims.scope, 'read')
    await assert.rejects(validate(presented, world.opaque, algorithm), { code: oauth.JWT_CLAIM_COMPARISON })
    const others = Object.keys(world.apis).filter((other) => other !== algorithm)
    await assert.rejects(validate(presented, audience, others[0]))
  })
}

for (const [algorithm, audience] of Object.entries(world.apis)) {
  await check(`signed introspection: ${algorithm}`, async () => {
    const [client, authentication] = basic(world.server)
    const ask = async (presented) => {
      const response = await oauth.introspectionRequest(as, client, authentication, presented, { ...options, requestJwtResponse: true })
      const found = await oauth.processIntrospectionResponse(as, client, response)
      await oauth.validateApplicationLevelSignature(as, response, options)
      return found
    }
    const { access_token: presented } = await token(basic(world.caller), { resource: audience, scope: 'read' })
    const found = await ask(presented)
    assert.equal(found.active, true)
    assert.equal(found.client_id, world.caller.id)
    assert.equal(found.aud, audience)
    await revoke(basic(world.caller), presented)
    assert.deepEqual(await ask(presented), { active: false })
  })
}

await check('errors of the token endpoint', async () => {
  await assert.rejects(token(basic(world.caller), { scope: 'admin' }), refused('invalid_scope'))
  await assert.rejects(token(basic(world.caller), { resource: 'https://nowhere.test.internal' }), refused('invalid_target'))
  await assert.rejects(token(basic({ ...world.caller, secret: world.poster.secret }), {}), challenged)
  await assert.rejects(token(post(world.caller), {}), challenged)
})

await check('errors of introspection and revocation', async () => {
  const wrong = basic({ ...world.server, secret: world.caller.secret })
  await assert.rejects(introspect(wrong, 'token'), challenged)
  await assert.rejects(revoke(wrong, 'token'), challenged)
  assert.deepEqual(await introspect(basic(world.server), 'token'), { active: false })
})
