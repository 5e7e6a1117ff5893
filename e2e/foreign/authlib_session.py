"""Drives a server by Authlib as its users would. Reads the world as JSON from standard input, and prints one line of JSON per
check: {"check": name, "error": text or null}."""

import requests
from authlib.jose import JsonWebKey, JsonWebToken
from world import BASIC, POST, check, equal, introspect, metadata, refuses, session, token, world


def metadata_is_valid():
    metadata.validate()
    equal(metadata["issuer"], world["issuer"])
    equal(metadata["grant_types_supported"], ["client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"])


def cycle(who, method):
    def run():
        client = session(who, method, scope="read")
        got = token(client, resource=world["opaque"])
        equal((got["token_type"].lower(), got["scope"], got["expires_in"]), ("bearer", "read", 3600))
        equal(got.is_expired(), False)
        server = session(world["server"])
        found = introspect(server, got["access_token"])
        equal((found["active"], found["client_id"], found["aud"]), (True, who["id"], world["opaque"]))
        equal(introspect(session(world["stranger"]), got["access_token"]), {"active": False})
        equal(client.revoke_token(metadata["revocation_endpoint"], token=got["access_token"]).status_code, 200)
        equal(introspect(server, got["access_token"]), {"active": False})

    return run


def jwt(algorithm, audience):
    def run():
        got = token(session(world["caller"]), resource=audience)
        published = JsonWebKey.import_key_set(requests.get(metadata["jwks_uri"], timeout=10).json())
        options = {"iss": {"essential": True, "value": world["issuer"]}, "aud": {"essential": True, "value": audience}}
        claims = JsonWebToken([algorithm]).decode(got["access_token"], published, claims_options=options)
        claims.validate()
        equal((claims.header["typ"], claims["sub"], claims["scope"]), ("at+jwt", world["caller"]["id"], "read write"))

    return run


def errors():
    refuses("invalid_client", session({**world["caller"], "secret": world["poster"]["secret"]}))
    refuses("invalid_client", session(world["caller"], POST))
    refuses("invalid_scope", session(world["caller"]), scope="admin")
    refuses("invalid_target", session(world["caller"]), resource="https://nowhere.test.internal")
    wrong = session({**world["server"], "secret": world["caller"]["secret"]})
    equal(wrong.introspect_token(metadata["introspection_endpoint"], token="token").status_code, 401)
    equal(wrong.revoke_token(metadata["revocation_endpoint"], token="token").status_code, 401)


check("metadata", metadata_is_valid)
check("token, introspection, revocation: basic", cycle(world["caller"], BASIC))
check("token, introspection, revocation: post", cycle(world["poster"], POST))
for algorithm, audience in world["apis"].items():
    check(f"JWT access token: {algorithm}", jwt(algorithm, audience))
check("errors", errors)
