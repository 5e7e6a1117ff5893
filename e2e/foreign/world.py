"""What the scripts that use Authlib share. Each reads the world as JSON from standard input, and prints one line of JSON per check:
{"check": name, "error": text or null}."""

import json
import sys
import traceback

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url

world = json.load(sys.stdin)
metadata = AuthorizationServerMetadata(requests.get(get_well_known_url(world["issuer"], external=True), timeout=10).json())
BASIC, POST = "client_secret_basic", "client_secret_post"


def check(name, run):
    error = None
    try:
        run()
    except Exception:
        error = traceback.format_exc()
    print(json.dumps({"check": name, "error": error}), flush=True)


def equal(got, want):
    if got != want:
        raise AssertionError(f"got {got!r}, want {want!r}")


def session(who, method=BASIC, **more):
    return OAuth2Session(
        who["id"], who["secret"], token_endpoint_auth_method=method, revocation_endpoint_auth_method=method,
        default_timeout=10, **more,
    )


def token(client, **parameters):
    return client.fetch_token(metadata["token_endpoint"], grant_type="client_credentials", **parameters)


def introspect(client, presented):
    response = client.introspect_token(metadata["introspection_endpoint"], token=presented, token_type_hint="access_token")
    equal(response.status_code, 200)
    return response.json()


def refuses(want, client, **parameters):
    try:
        token(client, **parameters)
    except OAuthError as e:
        equal(e.error, want)
        return
    raise AssertionError(f"got a token, want {want}")
