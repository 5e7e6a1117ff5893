// For nginx-cached.conf: the key of a decision is written into the cache's files, so it must not hold a token.
import crypto from 'crypto';

function credential(r) {
    return crypto.createHash('sha256').update(r.headersIn.Authorization || '').digest('base64url');
}

export default {credential};
