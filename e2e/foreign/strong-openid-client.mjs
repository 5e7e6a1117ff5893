import assert from 'node:assert/strict'
import { check, world } from './world.mjs'
import { audiences, badProof, privateKey, unauthenticated } from './strong.mjs'

const client = await import('openid-client')

const insecure = { execute: [client.allowInsecureRequests] } // the issuer is on loopback
const configure = (id, authentication) => client.discovery(new URL(world.issuer), id, {}, authentication, insecure)

// Ed25519 by the name that RFC 8037 has for it; oauth4webapi takes that of RFC 9864.
const modify = (change = () => {}) => ({
  [client.modifyAssertion]: (header, claims) => {
    if (header.alg === 'Ed25519') header.alg = 'EdDSA'
    change(claims)
  },
})

const server = await configure(world.server.id, client.ClientSecretBasic(world.server.secret))
const bound = await configure(world.bound.id, client.ClientSecretBasic(world.bound.secret))
const withKey = async (algorithm, change) =>
  configure(world.keys[algorithm].id, client.PrivateKeyJwt(await privateKey(algorithm), modify(change)))

for (const algorithm of Object.keys(world.keys)) {
  await check(`private_key_jwt: token, introspection, revocation: ${algorithm}`, async () => {
    const caller = await withKey(algorithm)
    for (const resource of audiences) {
      const got = await client.clientCredentialsGrant(caller, { resource, scope: 'read' })
      assert.equal((await client.tokenIntrospection(server, got.access_token)).client_id, world.keys[algorithm].id)
      assert.equal((await client.tokenIntrospection(caller, got.access_token)).active, true)
      await client.tokenRevocation(caller, got.access_token)
      assert.equal((await client.tokenIntrospection(server, got.access_token)).active, false)
    }
  })
}

await check('A28 assertion sent twice', async () => {
  const caller = await withKey('PS256', (claims) => { claims.jti = `${world.issuer} twice` })
  await client.clientCredentialsGrant(caller, {})
  await assert.rejects(client.clientCredentialsGrant(caller, {}), unauthenticated)
})

for (const algorithm of ['ES256', 'Ed25519']) {
  await check(`D01 D13 DPoP: ${algorithm}`, async () => {
    for (const caller of [bound, await withKey('RS256')]) {
      const DPoP = client.getDPoPHandle(caller, await client.randomDPoPKeyPair(algorithm), modify())
      for (const resource of audiences) {
        const got = await client.clientCredentialsGrant(caller, { resource, scope: 'read' }, { DPoP })
        assert.equal(got.token_type, 'dpop')
        const found = await client.tokenIntrospection(server, got.access_token)
        assert.equal(found.token_type, 'DPoP')
        assert.equal(found.cnf.jkt, await DPoP.calculateThumbprint())
      }
    }
  })
}

await check('D05 proof for another method', async () => {
  const DPoP = client.getDPoPHandle(bound, await client.randomDPoPKeyPair(), modify((claims) => { claims.htm = 'GET' }))
  await assert.rejects(client.clientCredentialsGrant(bound, {}, { DPoP }), badProof)
})

for (const [resource, address] of Object.entries(world.services)) {
  await check(`DPoP at a service: ${resource}`, async () => {
    const DPoP = client.getDPoPHandle(bound, await client.randomDPoPKeyPair())
    const { access_token: presented } = await client.clientCredentialsGrant(bound, { resource, scope: 'read' }, { DPoP })
    for (let i = 0; i < 2; i++) {
      const response = await client.fetchProtectedResource(bound, presented, new URL(address), 'GET', undefined, undefined, { DPoP })
      assert.equal(await response.text(), world.bound.id)
    }
    const other = client.getDPoPHandle(bound, await client.randomDPoPKeyPair())
    const stolen = client.fetchProtectedResource(bound, presented, new URL(address), 'GET', undefined, undefined, { DPoP: other })
    await assert.rejects(stolen, { status: 401 }) // D17
    const bearer = await fetch(address, { headers: { authorization: `Bearer ${presented}` } })
    assert.equal(bearer.status, 401) // D16
    assert.match(bearer.headers.get('www-authenticate'), /^DPoP |, DPoP /) // D20
  })
}
