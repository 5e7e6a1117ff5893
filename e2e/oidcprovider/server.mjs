// Runs oidc-provider as an authorization server for machines: client credentials, resource indicators, introspection. It reads its
// clients and resources as JSON from standard input, prints its issuer identifier when it listens, and ends when standard input does.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import Provider, { errors } from 'oidc-provider';

const lines = createInterface({ input: process.stdin });
const [line] = await once(lines, 'line');
const world = JSON.parse(line); // {clients: [{id, secret}], resources: {identifier: 'jwt' | 'opaque'}, lifetime, port: any unless it is there}
lines.on('close', () => process.exit(0));

const server = createServer();
server.listen(world.port ?? 0, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;

const signing = { ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256', kid: 'first' };
const provider = new Provider(issuer, {
  clients: world.clients.map(({ id, secret }) => ({
    client_id: id, client_secret: secret, grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
  })),
  clientDefaults: { id_token_signed_response_alg: 'ES256' },
  jwks: { keys: [signing] },
  scopes: ['read', 'write'],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, resource) => {
        const accessTokenFormat = world.resources[resource];
        if (!accessTokenFormat) throw new errors.InvalidTarget();
        return { scope: 'read write', audience: resource, accessTokenTTL: world.lifetime, accessTokenFormat, jwt: { sign: { alg: 'ES256' } } };
      },
    },
  },
});
server.on('request', provider.callback());
process.stdout.write(`${issuer}\n`);
