import assert from 'node:assert/strict'
import { check, world } from './world.mjs'

const client = await import('openid-client')

const insecure = { execute: [client.allowInsecureRequests] } // the issuer is on loopback

// configure finds the server, as a client that authenticates so.
function configure(id, metadata, authentication) {
  return client.discovery(new URL(world.issuer), id, metadata, authentication, insecure)
}

await check('token, introspection, revocation', async () => {
  const caller = await configure(world.caller.id, {}, client.ClientSecretBasic(world.caller.secret))
  const server = await configure(world.server.id, {}, client.ClientSecretBasic(world.server.secret))
  const got = await client.clientCredentialsGrant(caller, { resource: world.opaque, scope: 'read' })
  assert.equal(got.scope, 'read')
  assert.equal((await client.tokenIntrospection(server, got.access_token)).client_id, world.caller.id)
  await client.tokenRevocation(caller, got.access_token)
  assert.deepEqual(await client.tokenIntrospection(server, got.access_token), { active: false })
})

await check('I15 signed introspection', async () => {
  const caller = await configure(world.caller.id, {}, client.ClientSecretPost(world.poster.secret))
  await assert.rejects(client.clientCredentialsGrant(caller, {}), { code: 'OAUTH_WWW_AUTHENTICATE_CHALLENGE', status: 401 })
  const poster = await configure(world.poster.id, {}, client.ClientSecretPost(world.poster.secret))
  const got = await client.clientCredentialsGrant(poster, { resource: world.opaque, scope: 'read' })
  const server = await configure(world.server.id, { introspection_signed_response_alg: 'ES256' }, client.ClientSecretBasic(world.server.secret))
  client.enableNonRepudiationChecks(server)
  assert.equal((await client.tokenIntrospection(server, got.access_token)).client_id, world.poster.id)
  assert.deepEqual(await client.tokenIntrospection(server, 'garbage'), { active: false })
})
