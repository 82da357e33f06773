-- Looks the key up as it is, checks method and path, and counts the key's requests in this minute.
local counts, minute = {}, 0

local function refuse(handle, status)
  handle:respond({[":status"] = status}, "refused")
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local client = KEYS[headers:get("x-api-key") or ""]
  if client == nil then return refuse(handle, "401") end
  local method, path = headers:get(":method"), headers:get(":path")
  if (method ~= "GET" and method ~= "POST") or path:sub(1, 4) ~= "/v4/" then return refuse(handle, "403") end
  local now = math.floor(os.time() / 60)
  if now ~= minute then counts, minute = {}, now end
  local count = (counts[client] or 0) + 1
  if count > LIMIT then return refuse(handle, "429") end
  counts[client] = count
  headers:remove("x-api-key")
  headers:replace("x-client-id", client)
end
