-- The action lua.authorize ADDRESS of haproxy.cfg: asks a gateway of Countersign whether this request may pass. If it may, it sets
-- txn.authorized and the headers that say who calls; otherwise it answers the client. Needs HAProxy 2.5 or later, nothing else.

local identity = {"x-client-id", "x-client-subject", "x-client-scope", "x-client-issuer", "x-token-id", "x-request-id"}
local told = {"www-authenticate", "allow", "retry-after", "content-type", "x-request-id"}
local refusals = {[400] = true, [401] = true, [403] = true, [405] = true, [429] = true, [503] = true}

-- HAProxy counts the values of a header from 0, a table for httpclient from 1.
local function list(values)
  local result = {}
  local i = 0
  while values and values[i] do
    result[i + 1] = values[i]
    i = i + 1
  end
  return result
end

core.register_action("authorize", {"http-req"}, function(txn, address)
  local received = txn.http:req_get_headers()
  local question = {
    ["x-forwarded-method"] = {txn.sf:method()},
    ["x-forwarded-uri"] = {txn.sf:pathq()}, -- as received: the gateway knows what is ambiguous
    ["x-forwarded-host"] = list(received["host"]),
  }
  if received["authorization"] then -- all of them: the gateway refuses more than one
    question["authorization"] = list(received["authorization"])
  end
  -- The listener at this address has the timeouts, and answers whatever happens.
  local answer = core.httpclient():get{url = "http://" .. address .. "/authorize", headers = question, timeout = 5000}

  if answer.status == 200 then
    for _, name in ipairs(identity) do
      local value = answer.headers[name]
      if value then
        txn.http:req_set_header(name, value[0])
      end
    end
    txn:set_var("txn.authorized", true)
    return
  end

  local refused = refusals[answer.status]
  local reply = txn:reply{status = refused and answer.status or 503}
  for _, name in ipairs(told) do
    for _, value in ipairs(list(refused and answer.headers[name])) do
      reply:add_header(name, value)
    end
  end
  if not refused or (answer.status == 503 and not answer.headers["retry-after"]) then
    reply:add_header("retry-after", "1")
  end
  reply:set_body(refused and answer.body or "")
  txn:done(reply)
end, 1)
