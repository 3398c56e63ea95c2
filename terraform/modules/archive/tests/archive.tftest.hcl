# What the module makes of its variables, on a mocked AWS. tests/aws/test_archive.py looks at the definition.

mock_provider "aws" {
  source = "../../mocks"
}

variables {
  environment    = "test"
  bucket         = "results"
  source_buckets = ["recordings", "public-ocean"]
  lambda         = { image_uri = "123456789012.dkr.ecr.us-east-1.amazonaws.com/anemone:1.0.0" }
  detector_environment = {
    INFERENCE_CONFIG_FINGERPRINT = "0000000000000000000000000000000000000000000000000000000000000000"
    N_FFT                        = "1024"
    S3_MODEL_BUCKET              = "models"
    S3_MODEL_KEY                 = "models/v1.0/best_model.keras"
  }
}

run "as_it_is_by_default" {
  # Function
  assert {
    condition     = aws_lambda_function.this.function_name == "anemonefish-inference-test-archive" && aws_cloudwatch_log_group.function.name == "/aws/lambda/anemonefish-inference-test-archive"
    error_message = "The function or its log has another name than asked."
  }
  assert {
    condition     = aws_lambda_function.this.timeout == 900 && aws_lambda_function.this.memory_size == 3008 && aws_lambda_function.this.ephemeral_storage[0].size == 6144
    error_message = "A call has less time or room than there is."
  }
  assert {
    condition     = alltrue([for name, value in var.detector_environment : aws_lambda_function.this.environment[0].variables[name] == value])
    error_message = "The function has another model or other settings than the detector."
  }
  assert {
    condition     = aws_lambda_function.this.reserved_concurrent_executions == -1 && aws_lambda_function.this.tracing_config[0].mode == "Active"
    error_message = "Concurrency is limited though nobody asked, or X-Ray is not active."
  }

  # Alarm
  assert {
    condition     = aws_cloudwatch_metric_alarm.failed_runs.metric_name == "ExecutionsFailed" && length(coalesce(aws_cloudwatch_metric_alarm.failed_runs.alarm_actions, [])) == 0
    error_message = "Failed runs are not counted, or somebody is told who was not named."
  }

  # Least privilege
  assert {
    condition     = alltrue([for role in [aws_iam_role.function, aws_iam_role.batches] : endswith(role.name, "-us-east-1") && length(role.name) <= 64]) && aws_iam_role.function.name != aws_iam_role.batches.name
    error_message = "A deployment in another region would have roles of the same name, or one of the two has the other's."
  }
  assert {
    condition = alltrue(flatten([
      for policy in [aws_iam_role_policy.function.policy, aws_iam_role_policy.batches.policy, output.user_policy] : [
        for statement in jsondecode(policy).Statement : [for action in flatten([statement.Action]) : !strcontains(action, "*")]
      ]
    ]))
    error_message = "An action has a wildcard."
  }
  assert {
    condition = alltrue(flatten([
      for policy in [aws_iam_role_policy.function.policy, aws_iam_role_policy.batches.policy, output.user_policy] : [
        for statement in jsondecode(policy).Statement :
        alltrue([for action in flatten([statement.Action]) : can(regex("^(xray:|logs:(.*LogDelivery|ListLogDeliveries|PutResourcePolicy|DescribeResourcePolicies|DescribeLogGroups)$)", action))]) || !contains(flatten([statement.Resource]), "*")
      ]
    ]))
    error_message = "A resource is \"*\" though the action knows resources."
  }
  assert {
    condition = alltrue(flatten([
      for policy in [aws_iam_role_policy.function.policy, aws_iam_role_policy.batches.policy, output.user_policy] : [
        for statement in jsondecode(policy).Statement : [
          for resource in flatten([statement.Resource]) : strcontains(resource, "/archives/") if startswith(resource, "arn:aws:s3:::results/")
        ]
      ]
    ]))
    error_message = "Somebody may touch what is not of archives."
  }
  assert {
    condition = toset(flatten([
      for statement in jsondecode(aws_iam_role_policy.function.policy).Statement : statement.Action if strcontains(jsonencode(statement.Resource), ":::public-ocean")
    ])) == toset(["s3:GetObject", "s3:ListBucket"])
    error_message = "The sources are not read, or not only read."
  }
  assert {
    condition     = !strcontains(aws_iam_role_policy.function.policy, "s3:DeleteObject") && !strcontains(aws_iam_role_policy.batches.policy, "s3:DeleteObject")
    error_message = "Something but the laptop deletes results."
  }

  # Outputs
  assert {
    condition     = output.state_machine_arn == aws_sfn_state_machine.this.arn && output.bucket == "results"
    error_message = "The state machine's or the bucket's output is wrong."
  }
  assert {
    condition     = output.run_command == "anemone archive run s3://BUCKET/PREFIX --out DIR --on aws --state-machine ${output.state_machine_arn} --bucket results"
    error_message = "The command does not name state machine and bucket."
  }
}

run "state_machine" {
  variables {
    max_concurrency              = 7
    tolerated_failure_percentage = 10
    timeout                      = 3600
  }
  assert {
    condition     = jsondecode(aws_sfn_state_machine.this.definition).States.AnalyseBatches.MaxConcurrency == 7 && jsondecode(aws_sfn_state_machine.this.definition).States.AnalyseBatches.ToleratedFailurePercentage == 10 && jsondecode(aws_sfn_state_machine.this.definition).TimeoutSeconds == 3600
    error_message = "The limits asked for are not those of the map."
  }
  assert {
    condition     = aws_sfn_state_machine.this.type == "STANDARD" && aws_sfn_state_machine.this.logging_configuration[0].level == "ERROR"
    error_message = "A run may last five minutes only, or logs nothing."
  }
  assert {
    condition     = jsondecode(aws_sfn_state_machine.this.definition).States.AnalyseBatches.ItemProcessor.States.AnalyseBatch.Parameters.FunctionName == aws_lambda_alias.live.arn
    error_message = "Batches do not go to the version that was published last."
  }
}

run "every_option_on" {
  variables {
    alarm_topic_arn = "arn:aws:sns:us-east-1:123456789012:alarms"
    kms_key_arns    = ["arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"]
    max_concurrency = 20
    lambda = {
      image_uri                      = "123456789012.dkr.ecr.us-east-1.amazonaws.com/anemone:1.0.0"
      architecture                   = "arm64"
      reserved_concurrent_executions = 20
    }
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.failed_runs.alarm_actions == toset([var.alarm_topic_arn])
    error_message = "Nobody is told of a run that failed."
  }
  assert {
    condition     = aws_lambda_function.this.reserved_concurrent_executions == 20 && aws_lambda_function.this.architectures == tolist(["arm64"])
    error_message = "The function is not as asked."
  }
  assert {
    condition = one([
      for statement in jsondecode(aws_iam_role_policy.function.policy).Statement : statement if try(statement.Action == "kms:Decrypt", false)
    ]).Resource == [for arn in var.kms_key_arns : arn]
    error_message = "The function may not read what is encrypted, or may use other keys."
  }
}

run "refuses_fewer_reserved_calls_than_batches_at_once" {
  command = plan
  variables {
    max_concurrency = 20
    lambda = {
      image_uri                      = "123456789012.dkr.ecr.us-east-1.amazonaws.com/anemone:1.0.0"
      reserved_concurrent_executions = 19
    }
  }
  expect_failures = [aws_lambda_function.this]
}

# Actions are named one by one, and resources too, but for the actions that know none.

run "nothing_is_read_that_was_not_named" {
  variables {
    source_buckets = []
  }
  assert {
    condition     = !anytrue([for statement in jsondecode(aws_iam_role_policy.function.policy).Statement : statement.Sid == "ReadRecordings"])
    error_message = "There is a right to read recordings of no bucket."
  }
}

run "the_smallest_example" {
  module {
    source = "./examples/minimal"
  }
  assert {
    condition     = startswith(output.run_command, "anemone archive run ")
    error_message = "The example shows no command."
  }
}

run "the_complete_example" {
  module {
    source = "./examples/complete"
  }
}
