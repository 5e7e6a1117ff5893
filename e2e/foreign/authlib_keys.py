"""Drives a server by Authlib with clients that have a key in place of a secret. Reads the world as JSON from standard input, and prints one
line of JSON per check: {"check": name, "error": text or null}."""

from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from world import check, equal, introspect, metadata, refuses, session, token, world


def keyed(algorithm, audience=None, claims=None):
    who = world["keys"][algorithm]
    client = OAuth2Session(
        who["id"], who["pem"], token_endpoint_auth_method="private_key_jwt", revocation_endpoint_auth_method="private_key_jwt",
        default_timeout=10,
    )
    # Authlib's own audience is the token endpoint, which draft-ietf-oauth-rfc7523bis forbids.
    client.register_client_auth_method(PrivateKeyJWT(audience or world["issuer"], claims=claims, alg=algorithm))
    return client


def cycle(algorithm):
    def run():
        client, server = keyed(algorithm), session(world["server"])
        for resource in (world["apis"]["ES256"], world["opaque"]):
            got = token(client, resource=resource, scope="read")
            found = introspect(server, got["access_token"])
            equal((found["active"], found["client_id"], found["aud"]), (True, world["keys"][algorithm]["id"], resource))
            equal(client.revoke_token(metadata["revocation_endpoint"], token=got["access_token"]).status_code, 200)
            equal(introspect(server, got["access_token"]), {"active": False})

    return run


def another_audience():
    refuses("invalid_client", keyed("ES256", audience=metadata["token_endpoint"]))


def twice():
    client = keyed("RS256", claims={"jti": world["issuer"] + " twice"})
    token(client)
    refuses("invalid_client", client)


for algorithm in world["keys"]:
    check(f"private_key_jwt: {algorithm}", cycle(algorithm))
check("A19 for the token endpoint, which is Authlib's default", another_audience)
check("A28 assertion sent twice", twice)
