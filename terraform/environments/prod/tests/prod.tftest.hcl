# What prod asks beyond the modules, and its outputs.

mock_provider "aws" {
  source = "../../mocks"
}

variables {
  model_s3_bucket      = "models"
  lambda_image_uri     = "123456789012.dkr.ecr.us-east-1.amazonaws.com/anemone@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  cors_allowed_origins = ["https://reef.example.org"]
}

run "refuses_an_image_that_can_move_and_every_origin" {
  command = plan
  variables {
    lambda_image_uri     = "123456789012.dkr.ecr.us-east-1.amazonaws.com/anemone:latest"
    cors_allowed_origins = ["*"]
    ecr_repository_name  = "123456789012.dkr.ecr.us-east-1.amazonaws.com/Shared:latest"
  }
  expect_failures = [
    var.ecr_repository_name,
    var.lambda_image_uri,
    var.cors_allowed_origins,
  ]
}

run "takes_a_version_tag" {
  command = plan
  variables {
    lambda_image_uri = "123456789012.dkr.ecr.us-east-1.amazonaws.com/anemone:1.2.3"
  }
}

run "as_it_is_by_default" {
  # Outputs
  assert {
    condition     = output.api_endpoint == "https://abc123.execute-api.us-east-1.amazonaws.com/api/predict"
    error_message = "api_endpoint is not the HTTPS address of /predict."
  }
  assert {
    condition     = output.lambda_function_name == "anemonefish-inference-prod-inference"
    error_message = "aws logs tail /aws/lambda/PROJECT-ENV-inference finds nothing."
  }
  assert {
    condition     = output.api_key_value == "a-key-made-by-aws-0123456789"
    error_message = "prod asks for no API key by default."
  }

  # Archives are an option
  assert {
    condition     = length(module.archive) == 0 && output.archive_state_machine_arn == null && output.archive_run_command == null
    error_message = "There is something for archives though nobody asked."
  }

  # A new version gets a share of the requests first
  assert {
    condition     = output.rollout.percent == 10 && output.rollout.minutes == 10
    error_message = "In prod a new version takes over at once by default."
  }
}

run "refuses_settings_and_a_model_that_are_not_those_promoted" {
  command = plan
  variables {
    inference_config = { confidence_threshold = 0.9 }
  }
  expect_failures = [output.api_endpoint]
}

run "archives_run_the_image_model_and_settings_of_the_detector" {
  variables {
    enable_archive         = true
    archive_source_buckets = ["recordings"]
  }
  assert {
    condition     = output.archive_state_machine_arn != null && endswith(output.archive_run_command, "--bucket ${output.s3_output_bucket}")
    error_message = "The command does not name the state machine and the bucket."
  }
}

run "images_come_from_a_shared_repository_where_one_is_named" {
  variables {
    ecr_repository_name = "anemonefish-inference-shared"
  }
  assert {
    condition     = length(module.ecr) == 0 && output.ecr_repository_url == "123456789012.dkr.ecr.us-east-1.amazonaws.com/anemonefish-inference-shared"
    error_message = "There is a repository of the environment's own beside the shared one."
  }
}
