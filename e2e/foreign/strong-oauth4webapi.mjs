import assert from 'node:assert/strict'
import { check, world } from './world.mjs'
import { audiences, badProof, goodAssertions, goodProofs, privateKey, unauthenticated, wrongAssertions, wrongProofs } from './strong.mjs'

const oauth = await import('oauth4webapi')

const options = { [oauth.allowInsecureRequests]: true } // the issuer is on loopback
const issuer = new URL(world.issuer)
const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { ...options, algorithm: 'oauth2' }))

const server = [{ client_id: world.server.id }, oauth.ClientSecretBasic(world.server.secret)]
const bound = [{ client_id: world.bound.id }, oauth.ClientSecretBasic(world.bound.secret)]

// withKey is a client that signs by its key what change leaves of its assertions.
async function withKey(algorithm, change = () => {}) {
  return [
    { client_id: world.keys[algorithm].id },
    oauth.PrivateKeyJwt(await privateKey(algorithm), {
      [oauth.modifyAssertion]: (header, claims) => change(header, claims, as),
    }),
  ]
}

// token asks once more where the server wants a nonce, and counts how often that is in asked.nonces.
async function token([client, authentication], parameters, DPoP, asked = {}) {
  const once = async () => {
    const response = await oauth.clientCredentialsGrantRequest(as, client, authentication, new URLSearchParams(parameters), { ...options, DPoP })
    return oauth.processClientCredentialsResponse(as, client, response)
  }
  try {
    return await once()
  } catch (e) {
    if (DPoP === undefined || !oauth.isDPoPNonceError(e)) throw e
    asked.nonces = (asked.nonces ?? 0) + 1
    return once()
  }
}

async function introspect(presented) {
  const response = await oauth.introspectionRequest(as, ...server, presented, options)
  return oauth.processIntrospectionResponse(as, server[0], response)
}

await check('M03 metadata names method and algorithms', () => {
  assert.ok(as.token_endpoint_auth_methods_supported.includes('private_key_jwt'))
  for (const algorithm of Object.keys(world.keys)) {
    assert.ok(as.token_endpoint_auth_signing_alg_values_supported.includes(algorithm), algorithm)
  }
  assert.ok(!as.token_endpoint_auth_signing_alg_values_supported.includes('none'))
})

for (const algorithm of Object.keys(world.keys)) {
  await check(`private_key_jwt: token, revocation: ${algorithm}`, async () => {
    const caller = await withKey(algorithm)
    for (const resource of audiences) {
      const got = await token(caller, { resource, scope: 'read' })
      assert.equal(got.token_type, 'bearer')
      const found = await introspect(got.access_token)
      assert.equal(found.client_id, world.keys[algorithm].id)
      assert.equal(found.aud, resource)
      await oauth.processRevocationResponse(await oauth.revocationRequest(as, ...caller, got.access_token, options))
      assert.deepEqual(await introspect(got.access_token), { active: false })
    }
  })
}

for (const [name, change] of Object.entries(goodAssertions)) {
  await check(name, async () => token(await withKey('ES256', change), {}))
}

for (const [name, change] of Object.entries(wrongAssertions)) {
  await check(name, async () => assert.rejects(token(await withKey('ES256', change), {}), unauthenticated))
}

await check('A28 assertion sent twice', async () => {
  const caller = await withKey('ES256', (_, claims) => { claims.jti = `${world.issuer} twice` })
  await token(caller, {})
  await assert.rejects(token(caller, {}), unauthenticated)
})

await check('the key of another client', async () => {
  const [, authentication] = await withKey('RS256')
  await assert.rejects(token([{ client_id: world.keys.ES256.id }, authentication], {}), unauthenticated)
})

await check('M06 metadata names the algorithms of DPoP', () => {
  assert.ok(as.dpop_signing_alg_values_supported.includes('ES256'))
})

for (const algorithm of ['ES256', 'Ed25519', 'RS256', 'PS256']) {
  await check(`D01 DPoP: ${algorithm}`, async () => {
    for (const caller of [bound, await withKey('ES256')]) {
      const handle = oauth.DPoP(caller[0], await oauth.generateKeyPair(algorithm))
      const asked = {}
      for (const resource of audiences) {
        const got = await token(caller, { resource, scope: 'read' }, handle, asked)
        assert.equal(got.token_type, 'dpop')
        const found = await introspect(got.access_token)
        assert.equal(found.token_type, 'DPoP')
        assert.equal(found.cnf.jkt, await handle.calculateThumbprint())
      }
      assert.equal(asked.nonces ?? 0, world.nonces ? 1 : 0)
    }
  })
}

await check('D02 no proof of a client that has to give one', async () => {
  await assert.rejects(token(bound, {}), { status: 400 })
})

async function proving(change) {
  return oauth.DPoP(bound[0], await oauth.generateKeyPair('ES256'), { [oauth.modifyAssertion]: change })
}

for (const [name, change] of Object.entries(goodProofs)) {
  await check(name, async () => token(bound, {}, await proving(change)))
}

for (const [name, change] of Object.entries(wrongProofs)) {
  await check(name, async () => assert.rejects(token(bound, {}, await proving(change)), badProof))
}

await check('D09 proof sent twice', async () => {
  // The proof that is answered with a nonce gets no token.
  const handle = await proving((_, claims) => { if (!world.nonces || claims.nonce !== undefined) claims.jti = `${world.issuer} twice` })
  await token(bound, {}, handle)
  await assert.rejects(token(bound, {}, handle), badProof)
})

if (world.nonces) {
  await check('D14 nonce that the server never gave', async () => {
    const handle = await proving((_, claims) => { claims.nonce = 'made up' })
    await assert.rejects(token(bound, {}, handle), oauth.isDPoPNonceError)
  })
}
