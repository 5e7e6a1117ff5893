// A client that knows an API by its address alone finds out whom to ask for a token, and for which (RFC 9728).
import assert from 'node:assert/strict'
import { check, world } from './world.mjs'

const oauth = await import('oauth4webapi')

const options = { [oauth.allowInsecureRequests]: true } // everything is on loopback
const resource = new URL(world.resource)

const call = (presented) => oauth.protectedResourceRequest(presented, 'GET', new URL(`${world.resource}/1`), undefined, undefined, options)

let metadata
await check('M13 the challenge leads to the metadata', async () => {
  const refused = await call('garbage').then(() => assert.fail('let in'), (e) => e)
  assert.equal(refused.code, oauth.WWW_AUTHENTICATE_CHALLENGE)
  const { parameters } = refused.cause[0]
  assert.equal(parameters.error, 'invalid_token')
  const response = await oauth.resourceDiscoveryRequest(resource, options)
  assert.equal(parameters.resource_metadata, response.url)
  metadata = await oauth.processResourceDiscoveryResponse(resource, response)
  const { dpop_signing_alg_values_supported: algorithms, ...others } = metadata
  assert.deepEqual(others, {
    resource: world.resource, authorization_servers: [world.issuer], scopes_supported: ['read'], bearer_methods_supported: ['header'], resource_name: 'Orders',
  })
  assert.ok(algorithms.includes('ES256'))
})

await check('M13 metadata of another resource is refused', async () => {
  const response = await oauth.resourceDiscoveryRequest(resource, options)
  await assert.rejects(oauth.processResourceDiscoveryResponse(new URL('/other', resource), response), { code: oauth.JSON_ATTRIBUTE_COMPARISON })
})

await check('the metadata leads to a token', async () => {
  const issuer = new URL(metadata.authorization_servers[0])
  const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { ...options, algorithm: 'oauth2' }))
  const client = { client_id: world.caller.id }
  const parameters = { resource: metadata.resource, scope: metadata.scopes_supported.join(' ') }
  const response = await oauth.clientCredentialsGrantRequest(as, client, oauth.ClientSecretBasic(world.caller.secret), new URLSearchParams(parameters), options)
  const { access_token: presented } = await oauth.processClientCredentialsResponse(as, client, response)
  assert.equal((await call(presented)).status, 200)
})
