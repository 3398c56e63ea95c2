# The REST API. Every route goes to the function; what API Gateway adds is the key, the throttle, the log, and the
# answers it gives itself.

locals {
  # Whether a route needs the API key, where keys are on. The page, the health check and a browser's preflight never do.
  routes = {
    "GET /"                 = { key = false }
    "GET /health"           = { key = false }
    "POST /predict"         = { key = var.enable_api_key }
    "POST /jobs"            = { key = var.enable_api_key }
    "GET /jobs/{id}"        = { key = var.enable_api_key }
    "DELETE /jobs/{id}"     = { key = var.enable_api_key }
    "POST /jobs/{id}/start" = { key = var.enable_api_key }
  }
  paths = toset([for route in keys(local.routes) : split(" ", route)[1]])

  # A preflight goes to the function too: it knows the list of origins, where a fixed answer could name only one.
  methods = merge(
    { for route, needs in local.routes : route => merge(needs, { method = split(" ", route)[0], path = split(" ", route)[1] }) },
    { for path in local.paths : "OPTIONS ${path}" => { key = false, method = "OPTIONS", path = path } },
  )

  # The tree of resources, one set for each level: /jobs, /jobs/{id}, /jobs/{id}/start.
  segments = [for path in local.paths : compact(split("/", path))]
  levels   = [for depth in [1, 2, 3] : toset([for names in local.segments : "/${join("/", slice(names, 0, depth))}" if length(names) >= depth])]
  resource_ids = merge(
    { "/" = aws_api_gateway_rest_api.this.root_resource_id },
    { for path, resource in aws_api_gateway_resource.level_1 : path => resource.id },
    { for path, resource in aws_api_gateway_resource.level_2 : path => resource.id },
    { for path, resource in aws_api_gateway_resource.level_3 : path => resource.id },
  )

  # Bodies of these types reach the function byte for byte: the types that the service accepts (BODY_TYPES in
  # anemone_lib/service/incoming.py), and forms. Not */*: that would make every text binary too.
  binary_media_types = [
    "application/octet-stream", "application/ogg", "audio/aac", "audio/aiff", "audio/basic", "audio/flac",
    "audio/m4a", "audio/mp3", "audio/mp4", "audio/mpeg", "audio/ogg", "audio/opus", "audio/vnd.wave", "audio/wav",
    "audio/wave", "audio/webm", "audio/x-aiff", "audio/x-caf", "audio/x-flac", "audio/x-m4a", "audio/x-wav",
    "binary/octet-stream", "multipart/form-data", "video/mp4", "video/ogg", "video/quicktime", "video/webm",
  ]

  # What API Gateway answers itself, in the shape of the service's own errors. They carry no data, so where there are
  # several origins (the header can name one or all) any page may read them.
  gateway_origin = length(var.cors_allowed_origins) == 1 ? var.cors_allowed_origins[0] : "*"
  gateway_responses = {
    DEFAULT_4XX                  = { status = null, error = "bad_request", message = "API Gateway refused the request ($context.error.responseType)." }
    DEFAULT_5XX                  = { status = null, error = "internal_error", message = "The service did not answer ($context.error.responseType); try again, and tell the operator the request id if it goes on." }
    INVALID_API_KEY              = { status = "403", error = "forbidden", message = "Send your API key in the header x-api-key." }
    MISSING_AUTHENTICATION_TOKEN = { status = "404", error = "not_found", message = "No such route; see /health and POST /predict." }
    THROTTLED                    = { status = "429", error = "too_many_requests", message = "Too many requests; wait a second and try again." }
    QUOTA_EXCEEDED               = { status = "429", error = "quota_exceeded", message = "The day's requests of this API key are used up." }
    REQUEST_TOO_LARGE            = { status = "413", error = "too_large", message = "The body is over what one call takes (4.5 MB of audio); send large recordings by POST /jobs." }
    INTEGRATION_TIMEOUT          = { status = "504", error = "timeout", message = "The answer took longer than 29 s; send long recordings by POST /jobs." }
    INTEGRATION_FAILURE          = { status = "502", error = "bad_gateway", message = "The service did not answer; try again, and tell the operator the request id if it goes on." }
  }
}

resource "aws_api_gateway_rest_api" "this" {
  name               = local.name
  description        = "Finds anemonefish calls in recordings"
  api_key_source     = "HEADER"
  binary_media_types = local.binary_media_types

  endpoint_configuration {
    types = ["REGIONAL"]
  }
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_api_gateway_resource" "level_1" {
  for_each    = local.levels[0]
  rest_api_id = aws_api_gateway_rest_api.this.id
  parent_id   = aws_api_gateway_rest_api.this.root_resource_id
  path_part   = basename(each.key)
}

resource "aws_api_gateway_resource" "level_2" {
  for_each    = local.levels[1]
  rest_api_id = aws_api_gateway_rest_api.this.id
  parent_id   = aws_api_gateway_resource.level_1[dirname(each.key)].id
  path_part   = basename(each.key)
}

resource "aws_api_gateway_resource" "level_3" {
  for_each    = local.levels[2]
  rest_api_id = aws_api_gateway_rest_api.this.id
  parent_id   = aws_api_gateway_resource.level_2[dirname(each.key)].id
  path_part   = basename(each.key)
}

resource "aws_api_gateway_method" "this" {
  for_each           = local.methods
  rest_api_id        = aws_api_gateway_rest_api.this.id
  resource_id        = local.resource_ids[each.value.path]
  http_method        = each.value.method
  authorization      = "NONE"
  api_key_required   = each.value.key
  request_parameters = { for name in flatten(regexall("{(\\w+)}", each.value.path)) : "method.request.path.${name}" => true }
}

resource "aws_api_gateway_integration" "this" {
  for_each                = local.methods
  rest_api_id             = aws_api_gateway_rest_api.this.id
  resource_id             = local.resource_ids[each.value.path]
  http_method             = aws_api_gateway_method.this[each.key].http_method
  type                    = "AWS_PROXY"
  integration_http_method = "POST"
  uri                     = local.live.invoke_arn
  timeout_milliseconds    = 29000
}

resource "aws_lambda_permission" "api" {
  statement_id  = "api"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.this.function_name
  qualifier     = local.live.name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_api_gateway_rest_api.this.execution_arn}/${var.api_gateway_stage_name}/*"
}

resource "aws_api_gateway_gateway_response" "this" {
  for_each      = local.gateway_responses
  rest_api_id   = aws_api_gateway_rest_api.this.id
  response_type = each.key
  status_code   = each.value.status
  response_parameters = merge(
    { "gatewayresponse.header.Access-Control-Allow-Origin" = "'${local.gateway_origin}'" },
    each.value.status == "429" ? { "gatewayresponse.header.Retry-After" = "'1'" } : {},
  )
  response_templates = {
    "application/json" = jsonencode({ error = each.value.error, message = each.value.message })
  }
}

# ---------------------------------------------------------------- deployment

resource "aws_api_gateway_deployment" "this" {
  rest_api_id = aws_api_gateway_rest_api.this.id
  # A deployment is a snapshot: it must be made anew when anything in it changes. The text of what was asked for is
  # hashed, since the resources themselves read back a little differently from AWS.
  triggers = {
    snapshot = sha256(jsonencode([
      file("${path.module}/api.tf"), local.methods, local.binary_media_types, local.gateway_responses,
      local.gateway_origin, local.live.invoke_arn,
    ]))
  }
  depends_on = [
    aws_api_gateway_method.this,
    aws_api_gateway_integration.this,
    aws_api_gateway_gateway_response.this,
  ]
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_api_gateway_stage" "this" {
  rest_api_id          = aws_api_gateway_rest_api.this.id
  deployment_id        = aws_api_gateway_deployment.this.id
  stage_name           = var.api_gateway_stage_name
  xray_tracing_enabled = true

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.api.arn
    format = jsonencode({
      requestId          = "$context.requestId"
      time               = "$context.requestTime"
      method             = "$context.httpMethod"
      route              = "$context.resourcePath"
      status             = "$context.status"
      error              = "$context.error.responseType"
      latencyMs          = "$context.responseLatency"
      functionLatencyMs  = "$context.integration.latency"
      functionStatus     = "$context.integration.status"
      functionRequestId  = "$context.integration.requestId"
      responseBytes      = "$context.responseLength"
      apiKeyId           = "$context.identity.apiKeyId"
      sourceIp           = "$context.identity.sourceIp"
      userAgent          = "$context.identity.userAgent"
      traceId            = "$context.xrayTraceId"
      integrationMessage = "$context.integrationErrorMessage"
    })
  }

  depends_on = [aws_api_gateway_account.this]
}

resource "aws_api_gateway_method_settings" "all" {
  rest_api_id = aws_api_gateway_rest_api.this.id
  stage_name  = aws_api_gateway_stage.this.stage_name
  method_path = "*/*"
  settings {
    metrics_enabled        = true
    logging_level          = "ERROR"
    data_trace_enabled     = false
    throttling_rate_limit  = var.throttle.rate_limit
    throttling_burst_limit = var.throttle.burst_limit
  }

  depends_on = [aws_cloudwatch_log_group.api_execution] # before API Gateway makes it itself
}

# The role with which API Gateway writes logs belongs to the account and region, not to one API.
resource "aws_iam_role" "api_logs" {
  count = var.manage_api_gateway_account ? 1 : 0
  name  = "${local.name}-api-logs-${var.aws_region}"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "apigateway.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "api_logs" {
  count      = var.manage_api_gateway_account ? 1 : 0
  role       = aws_iam_role.api_logs[0].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
}

resource "aws_api_gateway_account" "this" {
  count               = var.manage_api_gateway_account ? 1 : 0
  cloudwatch_role_arn = aws_iam_role.api_logs[0].arn
  depends_on          = [aws_iam_role_policy_attachment.api_logs]
}

# ---------------------------------------------------------------- API key

resource "aws_api_gateway_api_key" "this" {
  count = var.enable_api_key ? 1 : 0
  name  = local.name
}

resource "aws_api_gateway_usage_plan" "this" {
  count = var.enable_api_key ? 1 : 0
  name  = local.name
  api_stages {
    api_id = aws_api_gateway_rest_api.this.id
    stage  = aws_api_gateway_stage.this.stage_name
  }
  throttle_settings {
    rate_limit  = var.throttle.api_key_rate_limit
    burst_limit = var.throttle.api_key_burst_limit
  }
  quota_settings {
    limit  = var.throttle.api_key_daily_quota
    period = "DAY"
  }
}

resource "aws_api_gateway_usage_plan_key" "this" {
  count         = var.enable_api_key ? 1 : 0
  key_id        = aws_api_gateway_api_key.this[0].id
  key_type      = "API_KEY"
  usage_plan_id = aws_api_gateway_usage_plan.this[0].id
}

resource "aws_secretsmanager_secret" "api_key" {
  count                   = var.enable_api_key && var.store_api_key_in_secrets_manager ? 1 : 0
  name                    = "${local.name}-api-key"
  description             = "API key of ${local.name}"
  recovery_window_in_days = 0 # the key ends with the API; a secret that waits to be deleted would keep its name
}

resource "aws_secretsmanager_secret_version" "api_key" {
  count         = length(aws_secretsmanager_secret.api_key)
  secret_id     = aws_secretsmanager_secret.api_key[0].id
  secret_string = aws_api_gateway_api_key.this[0].value
}
