# Every validation refuses a value. One run holds a wrong value for each variable, since all of them are checked before
# anything else happens; a variable with several validations has a run for each further one.

mock_provider "aws" {
  source = "../../mocks"
}

variables {
  environment                  = "test"
  model_s3_bucket              = "models"
  lambda_image_uri             = "123456789012.dkr.ecr.us-east-1.amazonaws.com/anemone:1.0.0"
  cors_allowed_origins         = ["*"]
  enable_api_key               = false
  inference_config_fingerprint = "0000000000000000000000000000000000000000000000000000000000000000"
}

run "each_variable_refuses_a_wrong_value" {
  command = plan
  variables {
    project_name                             = "Anemone_1"
    environment                              = "pre-prod"
    aws_region                               = "Virginia"
    model_s3_bucket                          = "s3://models/v1.0"
    model_s3_key                             = "models/v1.0/best_model.h5"
    model_sha256                             = "abc"
    model_version                            = "version one"
    inference_config                         = { confidence_threshold = 1.1 }
    dataset_sha256                           = "abc"
    inference_config_fingerprint             = "none"
    lambda_image_uri                         = "python:3.12"
    lambda_timeout                           = 901
    lambda_memory_size                       = 512
    lambda_ephemeral_storage_size            = 256
    lambda_reserved_concurrent_executions    = 0
    lambda_provisioned_concurrent_executions = -1
    log_level                                = "LOUD"
    api_gateway_stage_name                   = "api/v1"
    cors_allowed_origins                     = ["*", "https://reef.example.org"]
    throttle_rate_limit                      = 0
    throttle_burst_limit                     = 0
    api_key_rate_limit                       = 0
    api_key_burst_limit                      = 0
    api_key_daily_quota                      = 0
    waf_web_acl_arn                          = "arn:aws:wafv2:us-east-1:123456789012:global/webacl/reef/1"
    job_max_concurrency                      = 41
    job_timeout                              = 604801
    s3_input_expiration_days                 = 0
    s3_output_expiration_days                = 0
    log_retention_days                       = 31
    alarm_email                              = "ocean"
    invocations_per_hour_alarm               = 0
  }
  expect_failures = [
    var.project_name,
    var.environment,
    var.aws_region,
    var.model_s3_bucket,
    var.model_s3_key,
    var.model_sha256,
    var.model_version,
    var.inference_config,
    var.dataset_sha256,
    var.inference_config_fingerprint,
    var.lambda_image_uri,
    var.lambda_timeout,
    var.lambda_memory_size,
    var.lambda_ephemeral_storage_size,
    var.lambda_reserved_concurrent_executions,
    var.lambda_provisioned_concurrent_executions,
    var.log_level,
    var.api_gateway_stage_name,
    var.cors_allowed_origins,
    var.throttle_rate_limit,
    var.throttle_burst_limit,
    var.api_key_rate_limit,
    var.api_key_burst_limit,
    var.api_key_daily_quota,
    var.waf_web_acl_arn,
    var.job_max_concurrency,
    var.job_timeout,
    var.s3_input_expiration_days,
    var.s3_output_expiration_days,
    var.log_retention_days,
    var.alarm_email,
    var.invocations_per_hour_alarm,
  ]
}

run "refuses_half_a_window_in_a_batch" {
  command = plan
  variables {
    inference_config = { batch_size = 1.5 }
  }
  expect_failures = [var.inference_config]
}

run "refuses_an_odd_n_fft" {
  command = plan
  variables {
    inference_config = { n_fft = 1023 }
  }
  expect_failures = [var.inference_config]
}

run "refuses_an_even_smoothing_window" {
  command = plan
  variables {
    inference_config = { smoothing_window = 4 }
  }
  expect_failures = [var.inference_config]
}

run "refuses_a_hop_longer_than_the_transform" {
  command = plan
  variables {
    inference_config = { n_fft = 512, hop_length = 513 }
  }
  expect_failures = [var.inference_config]
}

run "refuses_a_stride_longer_than_the_window" {
  command = plan
  variables {
    inference_config = { window_duration = 1, stride_duration = 1.5 }
  }
  expect_failures = [var.inference_config]
}

run "refuses_a_target_class_the_model_does_not_know" {
  command = plan
  variables {
    inference_config = { target_class = "whale" }
  }
  expect_failures = [var.inference_config]
}

run "refuses_an_origin_with_a_path" {
  command = plan
  variables {
    cors_allowed_origins = ["https://reef.example.org/page"]
  }
  expect_failures = [var.cors_allowed_origins]
}

run "refuses_as_many_reserved_calls_as_one_job_makes_at_once" {
  command = plan
  variables {
    job_max_concurrency                   = 10
    lambda_reserved_concurrent_executions = 10
  }
  expect_failures = [aws_lambda_function.this]
}
