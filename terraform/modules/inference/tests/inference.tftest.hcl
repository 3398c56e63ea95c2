# What the module makes of its variables, on a mocked AWS.

mock_provider "aws" {
  source = "../../mocks"
}

variables {
  environment                  = "test"
  model_s3_bucket              = "models"
  lambda                       = { image_uri = "123456789012.dkr.ecr.us-east-1.amazonaws.com/anemone:1.0.0" }
  cors_allowed_origins         = ["https://reef.example.org", "http://localhost:3000"]
  enable_api_key               = true
  inference_config_fingerprint = "0000000000000000000000000000000000000000000000000000000000000000"
}

run "function" {
  variables {
    inference_config = { window_duration = 1.50, confidence_threshold = 0.00001, fmax_hz = 2e3 }
    model_sha256     = "1111111111111111111111111111111111111111111111111111111111111111"
    dataset_sha256   = "2222222222222222222222222222222222222222222222222222222222222222"
  }
  assert {
    condition     = aws_lambda_function.this.memory_size == 3008 && aws_lambda_function.this.timeout == 900
    error_message = "Memory and timeout are not 3008 MB and 900 s."
  }
  assert {
    condition     = aws_lambda_function.this.tracing_config[0].mode == "Active"
    error_message = "X-Ray is not active."
  }
  assert {
    condition     = aws_lambda_function.this.reserved_concurrent_executions == -1
    error_message = "Concurrency is limited though nobody asked."
  }
  assert {
    condition     = aws_lambda_function.this.environment[0].variables["WINDOW_DURATION"] == "1.5" && aws_lambda_function.this.environment[0].variables["CONFIDENCE_THRESHOLD"] == "0.00001" && aws_lambda_function.this.environment[0].variables["FMAX_HZ"] == "2000"
    error_message = "Numbers are not spelled as InferenceConfig.to_env spells them."
  }
  assert {
    condition     = !contains(keys(aws_lambda_function.this.environment[0].variables), "TARGET_SR")
    error_message = "A setting that is null is in the environment."
  }
  assert {
    condition     = aws_lambda_function.this.environment[0].variables["MODEL_SHA256"] == var.model_sha256
    error_message = "The model's hash is not in the environment."
  }
  assert {
    condition     = aws_lambda_function.this.environment[0].variables["DATASET_SHA256"] == var.dataset_sha256
    error_message = "The hash of the data is not in the environment."
  }
  assert {
    condition     = aws_lambda_function.this.environment[0].variables["INFERENCE_CONFIG_FINGERPRINT"] == var.inference_config_fingerprint
    error_message = "The fingerprint is not in the environment."
  }
  assert {
    condition     = aws_lambda_function.this.environment[0].variables["CORS_ALLOWED_ORIGINS"] == "https://reef.example.org,http://localhost:3000"
    error_message = "The origins are not in the environment."
  }
  assert {
    condition     = endswith(aws_lambda_function.this.environment[0].variables["STATE_MACHINE_ARN"], ":stateMachine:${aws_sfn_state_machine.jobs.name}")
    error_message = "STATE_MACHINE_ARN is not the state machine's."
  }
  assert {
    condition     = length(aws_lambda_provisioned_concurrency_config.live) == 0
    error_message = "Instances are kept warm though nobody asked."
  }
}

run "every_option_on" {
  variables {
    lambda = {
      image_uri                         = "123456789012.dkr.ecr.us-east-1.amazonaws.com/anemone:1.0.0"
      provisioned_concurrent_executions = 2
      reserved_concurrent_executions    = 11
    }
    store_api_key_in_secrets_manager = true
    alarms                           = { email = "reef@example.org", invocations_per_hour = 1000 }
    waf_web_acl_arn                  = "arn:aws:wafv2:us-east-1:123456789012:regional/webacl/reef/1"
    model_kms_key_arns               = ["arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"]
    vpc                              = { vpc_id = "vpc-1", subnet_ids = ["subnet-1", "subnet-2"], route_table_ids = ["rtb-1"] }
  }
  assert {
    condition     = length(aws_vpc_endpoint.s3) == 1 && aws_vpc_endpoint.s3[0].vpc_endpoint_type == "Gateway" && toset(keys(aws_vpc_endpoint.interface)) == toset(["logs", "states"])
    error_message = "The VPC does not reach what the function calls: S3 and Step Functions."
  }
  assert {
    condition     = one(aws_lambda_function.this.vpc_config).subnet_ids == toset(["subnet-1", "subnet-2"]) && aws_vpc_security_group_egress_rule.https[0].to_port == 443 && aws_vpc_security_group_ingress_rule.endpoints[0].referenced_security_group_id == aws_security_group.function[0].id
    error_message = "The function is not in the VPC, or reaches more there than TLS."
  }
  assert {
    condition = alltrue([
      for effect in ["Allow", "Deny"] : anytrue([
        for statement in jsondecode(aws_iam_role_policy.function.policy).Statement : contains(flatten([statement.Action]), "ec2:CreateNetworkInterface") && statement.Effect == effect
      ])
    ])
    error_message = "Lambda may not make the function's network interfaces, or the function's own code may."
  }
  assert {
    condition = one([
      for statement in jsondecode(aws_iam_role_policy.function.policy).Statement : statement if try(statement.Action == "kms:Decrypt", false)
    ]).Resource == [for arn in var.model_kms_key_arns : arn]
    error_message = "The function may not read an encrypted model, or may use other keys."
  }
  assert {
    condition     = aws_lambda_provisioned_concurrency_config.live[0].provisioned_concurrent_executions == 2 && aws_lambda_function.this.reserved_concurrent_executions == 11
    error_message = "The concurrency asked for is not there."
  }
  assert {
    condition     = aws_secretsmanager_secret_version.api_key[0].secret_string == output.api_key_value
    error_message = "The secret is not the API key."
  }
  assert {
    condition     = aws_secretsmanager_secret.api_key[0].recovery_window_in_days == 0
    error_message = "The secret keeps its name after destroy."
  }
  assert {
    condition     = aws_sns_topic_subscription.email[0].endpoint == "reef@example.org"
    error_message = "Nobody is told of alarms."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["cost"].threshold == 1000
    error_message = "The cost guard is missing."
  }
  assert {
    condition     = aws_wafv2_web_acl_association.api[0].resource_arn == aws_api_gateway_stage.this.arn
    error_message = "The web ACL is not before the API."
  }
}

run "every_option_off" {
  variables {
    enable_api_key                   = false
    store_api_key_in_secrets_manager = true
  }
  assert {
    condition     = output.api_key_value == null && length(aws_api_gateway_usage_plan.this) == 0 && length(aws_secretsmanager_secret.api_key) == 0
    error_message = "There is a key though keys are off."
  }
  assert {
    condition     = !anytrue([for method in aws_api_gateway_method.this : method.api_key_required])
    error_message = "A route asks for a key though keys are off."
  }
  assert {
    condition     = length(aws_api_gateway_account.this) == 0 && length(aws_iam_role.api_logs) == 0
    error_message = "The account's logging role is set though another environment sets it."
  }
  assert {
    condition     = length(aws_wafv2_web_acl_association.api) == 0 && length(aws_security_group.function) == 0 && length(aws_vpc_endpoint.interface) == 0 && length(aws_lambda_function.this.vpc_config) == 0 && length(aws_sns_topic_subscription.email) == 0 && !contains(keys(aws_cloudwatch_metric_alarm.this), "cost")
    error_message = "Something optional is there though nobody asked."
  }
}

run "as_it_is_by_default" {
  # Buckets
  assert {
    condition     = aws_s3_bucket.this["input"].bucket == "anemonefish-inference-test-input-123456789012" && aws_s3_bucket.this["output"].bucket == "anemonefish-inference-test-output-123456789012"
    error_message = "The buckets are not named after project, environment, use and account."
  }
  assert {
    condition     = alltrue([for block in aws_s3_bucket_public_access_block.this : block.block_public_acls && block.block_public_policy && block.ignore_public_acls && block.restrict_public_buckets]) && length(aws_s3_bucket_public_access_block.this) == 2
    error_message = "A bucket may be public."
  }
  assert {
    condition     = length(aws_s3_bucket_server_side_encryption_configuration.this) == 2
    error_message = "A bucket is not encrypted."
  }
  assert {
    condition     = keys(aws_s3_bucket_versioning.this) == ["output"]
    error_message = "Results, and only they, keep their versions."
  }
  assert {
    condition     = alltrue([for bucket in aws_s3_bucket_lifecycle_configuration.this : one([for rule in bucket.rule : rule.abort_incomplete_multipart_upload[0].days_after_initiation if rule.id == "abort-incomplete-uploads"]) == 1])
    error_message = "Incomplete uploads are not aborted."
  }
  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.this["input"].rule[0].expiration[0].days == 7 && aws_s3_bucket_lifecycle_configuration.this["output"].rule[0].expiration[0].days == 30
    error_message = "Recordings expire after 7 days, results after 30."
  }
  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.this["output"].rule[0].noncurrent_version_expiration[0].noncurrent_days == 1 && one([for rule in aws_s3_bucket_lifecycle_configuration.this["output"].rule : rule.expiration[0].expired_object_delete_marker if rule.id == "remove-delete-markers"])
    error_message = "A result that expired is kept for longer than a day."
  }
  assert {
    condition = alltrue([for policy in aws_s3_bucket_policy.this : anytrue([
      for statement in jsondecode(policy.policy).Statement : statement.Effect == "Deny" && statement.Action == "s3:*" && statement.Condition.Bool["aws:SecureTransport"] == "false"
    ])])
    error_message = "A bucket can be reached without TLS."
  }
  assert {
    condition     = alltrue([for cors in aws_s3_bucket_cors_configuration.this : contains(one(cors.cors_rule).expose_headers, "ETag")])
    error_message = "A browser cannot read the ETag of a part."
  }
  assert {
    condition     = alltrue([for cors in aws_s3_bucket_cors_configuration.this : one(cors.cors_rule).allowed_origins == toset(["https://reef.example.org", "http://localhost:3000", "https://abc123.execute-api.us-east-1.amazonaws.com"])])
    error_message = "The page at the API's root, or one of the origins asked for, may not use the buckets."
  }

  # The API
  assert {
    condition     = toset(keys(aws_api_gateway_method.this)) == toset(concat(["GET /", "GET /health", "POST /predict", "POST /jobs", "GET /jobs/{id}", "DELETE /jobs/{id}", "POST /jobs/{id}/start"], [for path in ["/", "/health", "/predict", "/jobs", "/jobs/{id}", "/jobs/{id}/start"] : "OPTIONS ${path}"]))
    error_message = "The routes are not those of the service, each with its preflight."
  }
  assert {
    condition     = alltrue([for route, method in aws_api_gateway_method.this : method.api_key_required == !(method.http_method == "OPTIONS" || contains(["GET /", "GET /health"], route))])
    error_message = "The preflight, the page and the health check, and only they, go without a key."
  }
  assert {
    condition     = alltrue([for integration in aws_api_gateway_integration.this : integration.type == "AWS_PROXY" && integration.uri == aws_lambda_alias.live[0].invoke_arn])
    error_message = "A route does not go to the live function."
  }
  assert {
    condition     = !contains(aws_api_gateway_rest_api.this.binary_media_types, "*/*") && length(setsubtract(["multipart/form-data", "audio/wav", "audio/flac"], aws_api_gateway_rest_api.this.binary_media_types)) == 0
    error_message = "Binary media types are a list, with multipart and audio on it."
  }
  assert {
    condition     = alltrue([for response in aws_api_gateway_gateway_response.this : contains(keys(response.response_parameters), "gatewayresponse.header.Access-Control-Allow-Origin")]) && length(setsubtract(["DEFAULT_4XX", "DEFAULT_5XX"], keys(aws_api_gateway_gateway_response.this))) == 0
    error_message = "An error of the gateway has no CORS header."
  }
  assert {
    condition     = alltrue([for response in aws_api_gateway_gateway_response.this : toset(keys(jsondecode(response.response_templates["application/json"]))) == toset(["error", "message"])])
    error_message = "An error of the gateway does not look like one of the service."
  }
  assert {
    condition     = one(aws_api_gateway_method_settings.all.settings).throttling_rate_limit == 20 && one(aws_api_gateway_method_settings.all.settings).throttling_burst_limit == 40 && !one(aws_api_gateway_method_settings.all.settings).data_trace_enabled
    error_message = "The stage is not throttled, or logs bodies."
  }
  assert {
    condition     = one(aws_api_gateway_usage_plan.this[0].throttle_settings).rate_limit == 10 && one(aws_api_gateway_usage_plan.this[0].quota_settings).limit == 10000
    error_message = "The key has no rate or no quota."
  }
  assert {
    condition     = length(jsondecode(one(aws_api_gateway_stage.this.access_log_settings).format)) > 5
    error_message = "The access log is not JSON."
  }
  assert {
    condition     = endswith(aws_lambda_permission.api.source_arn, "/api/*") && aws_lambda_permission.api.qualifier == "live"
    error_message = "Other APIs or stages may call the function."
  }

  # A call that is put off is made again for hours and is never a gap
  assert {
    condition = alltrue([
      for state in [
        jsondecode(aws_sfn_state_machine.jobs.definition).States.Plan,
        jsondecode(aws_sfn_state_machine.jobs.definition).States.ScoreChunks.ItemProcessor.States.ScoreChunk,
        jsondecode(aws_sfn_state_machine.jobs.definition).States.Merge,
      ] :
      state.Retry[0].ErrorEquals == ["Lambda.TooManyRequestsException"] && state.Retry[0].JitterStrategy == "FULL" && state.Retry[0].MaxAttempts * state.Retry[0].MaxDelaySeconds / 2 >= 6 * 3600
    ])
    error_message = "A call that is put off is not made again for six hours."
  }
  assert {
    # A standard execution may have 25,000 events: three for each try, of as many chunks as are scored at once.
    condition     = 40 * 3 * jsondecode(aws_sfn_state_machine.jobs.definition).States.Plan.Retry[0].MaxAttempts < 20000
    error_message = "The tries of 40 chunks fill the history of an execution."
  }
  assert {
    condition     = jsondecode(aws_sfn_state_machine.jobs.definition).States.ScoreChunks.ItemProcessor.States.ScoreChunk.Catch[0].ErrorEquals == ["Lambda.TooManyRequestsException"] && jsondecode(aws_sfn_state_machine.jobs.definition).States.ScoreChunks.ItemProcessor.States[jsondecode(aws_sfn_state_machine.jobs.definition).States.ScoreChunks.ItemProcessor.States.ScoreChunk.Catch[0].Next].Type == "Fail"
    error_message = "A chunk that is put off for hours becomes a gap."
  }
  assert {
    condition     = jsondecode(aws_sfn_state_machine.jobs.definition).States.WriteFailure.Retry[0].MaxAttempts < 10
    error_message = "A failure is told of hours later."
  }

  # The function is told of executions that ended from outside
  assert {
    condition     = toset(jsondecode(aws_cloudwatch_event_rule.dead_jobs.event_pattern).detail.status) == toset(["ABORTED", "FAILED", "TIMED_OUT"]) && jsondecode(aws_cloudwatch_event_rule.dead_jobs.event_pattern).detail.stateMachineArn == [aws_sfn_state_machine.jobs.arn]
    error_message = "The rule does not match every end without a result, of this state machine alone."
  }
  assert {
    condition     = aws_cloudwatch_event_target.dead_jobs.arn == aws_lambda_alias.live[0].arn && aws_lambda_permission.dead_jobs.qualifier == "live" && aws_lambda_permission.dead_jobs.source_arn == aws_cloudwatch_event_rule.dead_jobs.arn && aws_lambda_permission.dead_jobs.principal == "events.amazonaws.com"
    error_message = "The live function is not told, or others may tell it."
  }

  # Alarms
  assert {
    condition     = toset(keys(aws_cloudwatch_metric_alarm.this)) == toset(["errors", "duration", "throttles", "api-5xx", "api-latency", "failed-jobs", "timed-out-jobs"])
    error_message = "An alarm is missing."
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_actions == toset([aws_sns_topic.alarms.arn])])
    error_message = "An alarm tells nobody."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["duration"].threshold == 810000
    error_message = "The alarm on duration is not at nine tenths of 900 s."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["api-latency"].extended_statistic == "p95" && aws_cloudwatch_metric_alarm.this["api-latency"].threshold < 29000 && aws_cloudwatch_metric_alarm.this["errors"].statistic == "Sum"
    error_message = "The alarm on latency is not on a percentile below the 29 s of the API."
  }
  assert {
    condition     = aws_cloudwatch_log_group.api_execution.name == "API-Gateway-Execution-Logs_${aws_api_gateway_rest_api.this.id}/api"
    error_message = "The log group that API Gateway writes to is not declared."
  }
  assert {
    condition     = alltrue([for group in [aws_cloudwatch_log_group.function, aws_cloudwatch_log_group.api, aws_cloudwatch_log_group.api_execution, aws_cloudwatch_log_group.jobs] : group.retention_in_days == 30])
    error_message = "A log is kept for another time than asked."
  }

  # Least privilege
  assert {
    condition     = alltrue([for role in concat([aws_iam_role.function, aws_iam_role.jobs], aws_iam_role.api_logs) : endswith(role.name, "-us-east-1")])
    error_message = "A deployment in another region would have roles of the same name, and an account has each name once."
  }
  assert {
    condition = alltrue(flatten([
      for policy in [aws_iam_role_policy.function.policy, aws_iam_role_policy.jobs.policy] : [
        for statement in jsondecode(policy).Statement : [for action in flatten([statement.Action]) : !strcontains(action, "*")]
      ]
    ]))
    error_message = "An action has a wildcard."
  }
  assert {
    condition = alltrue(flatten([
      for policy in [aws_iam_role_policy.function.policy, aws_iam_role_policy.jobs.policy] : [
        for statement in jsondecode(policy).Statement :
        alltrue([for action in flatten([statement.Action]) : can(regex("^(xray:|logs:(.*LogDelivery|ListLogDeliveries|PutResourcePolicy|DescribeResourcePolicies|DescribeLogGroups)$)", action))]) || !contains(flatten([statement.Resource]), "*")
      ]
    ]))
    error_message = "A resource is \"*\" though the action knows resources."
  }
  assert {
    condition = alltrue([
      for statement in jsondecode(aws_iam_role_policy.function.policy).Statement :
      !strcontains(jsonencode(statement.Resource), ":::models") || alltrue([for action in flatten([statement.Action]) : contains(["s3:GetObject", "s3:ListBucket"], action)])
    ])
    error_message = "The model's bucket is not only read."
  }
  assert {
    condition = alltrue([
      for statement in jsondecode(aws_iam_role_policy.function.policy).Statement :
      alltrue([for resource in flatten([statement.Resource]) : endswith(resource, "/jobs/*")]) || !strcontains(jsonencode(statement.Action), "Delete")
    ])
    error_message = "The function may delete more than the objects of jobs."
  }
  assert {
    condition     = !strcontains(aws_iam_role_policy.jobs.policy, "s3:") && aws_iam_role.function.name != aws_iam_role.jobs.name
    error_message = "The state machine touches objects, or shares the function's role."
  }

  # Outputs
  assert {
    condition     = output.api_endpoint == "https://abc123.execute-api.us-east-1.amazonaws.com/api/predict"
    error_message = "api_endpoint is not the HTTPS address of /predict."
  }
  assert {
    condition     = output.lambda_function_name == "anemonefish-inference-test-inference" && aws_cloudwatch_log_group.function.name == "/aws/lambda/anemonefish-inference-test-inference"
    error_message = "aws logs tail /aws/lambda/PROJECT-ENV-inference finds nothing."
  }
  assert {
    condition     = output.s3_input_bucket == aws_s3_bucket.this["input"].id && output.s3_output_bucket == aws_s3_bucket.this["output"].id
    error_message = "The buckets' outputs are wrong."
  }
  assert {
    condition     = output.api_key_value == "a-key-made-by-aws-0123456789"
    error_message = "api_key_value is not the key."
  }
  assert {
    condition     = output.state_machine_arn == aws_sfn_state_machine.jobs.arn && strcontains(output.dashboard_url, aws_cloudwatch_dashboard.this.dashboard_name)
    error_message = "The state machine's or the dashboard's output is wrong."
  }
  assert {
    condition = alltrue([
      for name, value in output.detector_environment : aws_lambda_function.this.environment[0].variables[name] == value
    ]) && length(setsubtract(["INFERENCE_CONFIG_FINGERPRINT", "MODEL_VERSION", "N_FFT", "S3_MODEL_BUCKET", "S3_MODEL_KEY"], keys(output.detector_environment))) == 0
    error_message = "Another function of the same model and settings would not have those of this one."
  }

  # Without a canary a new version takes over as it is applied
  assert {
    condition     = aws_lambda_alias.live[0].function_version == aws_lambda_function.this.version && length(aws_lambda_alias.shifted) == 0 && output.rollout == null
    error_message = "The alias waits for somebody to move it."
  }
}

run "any_origin" {
  variables {
    cors_allowed_origins = ["*"]
  }
  assert {
    condition     = alltrue([for cors in aws_s3_bucket_cors_configuration.this : one(cors.cors_rule).allowed_origins == toset(["*"])])
    error_message = "\"*\" does not stand alone."
  }
}

run "jobs" {
  variables {
    job_max_concurrency = 25
  }
  assert {
    condition     = aws_sfn_state_machine.jobs.type == "STANDARD"
    error_message = "The state machine is not a Standard one."
  }
  assert {
    condition     = jsondecode(aws_sfn_state_machine.jobs.definition).States.ScoreChunks.MaxConcurrency == 25 && jsondecode(aws_sfn_state_machine.jobs.definition).States.ScoreChunks.ItemProcessor.ProcessorConfig.Mode == "INLINE"
    error_message = "Chunks are not scored by an inline Map of the concurrency asked for."
  }
  assert {
    condition     = alltrue([for key in ["Retry", "Catch"] : contains(keys(jsondecode(aws_sfn_state_machine.jobs.definition).States.ScoreChunks.ItemProcessor.States.ScoreChunk), key)])
    error_message = "Retry and Catch are not inside the iteration."
  }
  assert {
    condition     = alltrue([for name in ["Plan", "ScoreChunks", "Merge"] : jsondecode(aws_sfn_state_machine.jobs.definition).States[name].Catch[0].Next == "WriteFailure"]) && jsondecode(aws_sfn_state_machine.jobs.definition).States.WriteFailure.Next == "TellOfFailure"
    error_message = "A failure is not written down and told of."
  }
}

run "a_web_acl_of_its_own_lets_uploads_pass" {
  variables {
    enable_waf = true
  }
  assert {
    condition     = contains([for rule in one([for rule in aws_wafv2_web_acl.api[0].rule : rule if rule.name == "core"]).statement[0].managed_rule_group_statement[0].rule_action_override : rule.name], "SizeRestrictions_BODY")
    error_message = "Audio of over 8 KB is refused."
  }
  assert {
    condition     = strcontains(jsonencode(one([for rule in aws_wafv2_web_acl.api[0].rule : rule if rule.name == "bodies-but-for-uploads"])), "/api/predict")
    error_message = "The rules on bodies hold for uploads, or for no request at all."
  }
  assert {
    condition     = aws_wafv2_web_acl_association.api[0].web_acl_arn == aws_wafv2_web_acl.api[0].arn
    error_message = "The web ACL is not before the API."
  }
}

# Actions are named one by one, and resources too, but for the actions that know none.

run "with_a_canary_requests_and_jobs_have_an_alias_each" {
  variables {
    canary = { enabled = true, minutes = 5, percent = 20 }
    lambda = {
      image_uri                         = "123456789012.dkr.ecr.us-east-1.amazonaws.com/anemone:1.0.0"
      provisioned_concurrent_executions = 1
    }
  }
  override_resource {
    target = aws_lambda_alias.shifted["jobs"]
    values = { arn = "arn:aws:lambda:us-east-1:123456789012:function:mock:jobs" }
  }
  assert {
    condition     = length(aws_lambda_alias.live) == 0 && length(setsubtract(["jobs", "live"], keys(aws_lambda_alias.shifted))) == 0
    error_message = "There is another alias than those of requests and jobs."
  }
  assert {
    condition     = alltrue([for integration in aws_api_gateway_integration.this : integration.uri == aws_lambda_alias.shifted["live"].invoke_arn]) && aws_lambda_provisioned_concurrency_config.live[0].qualifier == "live"
    error_message = "A route does not go to the alias that is shifted, or others are kept warm."
  }
  assert {
    condition     = !strcontains(aws_sfn_state_machine.jobs.definition, ":mock:live\"") && strcontains(aws_sfn_state_machine.jobs.definition, ":mock:jobs\"") && aws_cloudwatch_event_target.dead_jobs.arn == aws_lambda_alias.shifted["jobs"].arn && aws_lambda_permission.dead_jobs.qualifier == "jobs"
    error_message = "A job could be worked on by two versions."
  }
  assert {
    condition     = join(" ", output.rollout.aliases) == "jobs live" && output.rollout.minutes == 5 && output.rollout.percent == 20 && output.rollout.version == aws_lambda_function.this.version
    error_message = "The rollout is not told what to move, or how."
  }
  assert {
    condition     = length(setsubtract(output.rollout.alarms, [for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_name])) == 0 && contains(output.rollout.alarms, aws_cloudwatch_metric_alarm.this["errors"].alarm_name)
    error_message = "The rollout watches alarms that are not there, or not the function's errors."
  }
}

run "refuses_as_many_reserved_calls_as_one_job_makes_at_once" {
  command = plan
  variables {
    job_max_concurrency = 10
    lambda = {
      image_uri                      = "123456789012.dkr.ecr.us-east-1.amazonaws.com/anemone:1.0.0"
      reserved_concurrent_executions = 10
    }
  }
  expect_failures = [aws_lambda_function.this]
}

run "the_smallest_example" {
  module {
    source = "./examples/minimal"
  }
  assert {
    condition     = output.api_endpoint == "https://abc123.execute-api.us-east-1.amazonaws.com/api/predict"
    error_message = "The example shows no address."
  }
}

run "the_complete_example" {
  module {
    source = "./examples/complete"
  }
}
