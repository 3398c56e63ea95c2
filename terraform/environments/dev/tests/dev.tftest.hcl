# The outputs of dev, with nothing given but the model's bucket.

mock_provider "aws" {
  source = "../../mocks"
}

variables {
  model_s3_bucket = "models"
}

run "as_it_is_by_default" {
  # Outputs
  assert {
    condition     = output.api_endpoint == "https://abc123.execute-api.us-east-1.amazonaws.com/api/predict"
    error_message = "api_endpoint is not the HTTPS address of /predict."
  }
  assert {
    condition     = output.lambda_function_name == "anemonefish-inference-dev-inference"
    error_message = "aws logs tail /aws/lambda/PROJECT-ENV-inference finds nothing."
  }
  assert {
    condition     = output.api_key_value == null
    error_message = "dev asks for an API key by default."
  }
  assert {
    condition     = output.ecr_repository_url == "123456789012.dkr.ecr.us-east-1.amazonaws.com/mock"
    error_message = "ecr_repository_url is not the repository's."
  }

  # Runs what the tag latest names
  assert {
    condition     = data.aws_ecr_image.latest[0].image_tag == "latest"
    error_message = "Without an image by name, dev does not look at the tag latest."
  }

  # Archives are an option
  assert {
    condition     = length(module.archive) == 0 && output.archive_state_machine_arn == null && output.archive_run_command == null
    error_message = "There is something for archives though nobody asked."
  }

  # A new version takes over as it is applied
  assert {
    condition     = output.rollout == null
    error_message = "In dev an apply does not bring a new version to life."
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

run "refuses_an_address_as_the_name_of_a_repository" {
  command = plan
  variables {
    ecr_repository_name = "123456789012.dkr.ecr.us-east-1.amazonaws.com/Shared:latest"
  }
  expect_failures = [var.ecr_repository_name]
}
