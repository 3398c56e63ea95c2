# The outputs of dev, with nothing given but the model's bucket.

mock_provider "aws" {
  source = "../../mocks"
}

variables {
  model_s3_bucket = "models"
}

run "outputs" {
  assert {
    condition     = output.api_endpoint == "https://abc123.execute-api.us-east-1.amazonaws.com/api/predict"
    error_message = "api_endpoint is not the HTTPS address of /predict."
  }
  assert {
    condition     = output.lambda_function_name == "anemonefish-inference-dev"
    error_message = "The function is not named after project and environment."
  }
  assert {
    condition     = output.api_key_value == null
    error_message = "dev asks for an API key by default."
  }
  assert {
    condition     = output.ecr_repository_url == "123456789012.dkr.ecr.us-east-1.amazonaws.com/mock"
    error_message = "ecr_repository_url is not the repository's."
  }
}
