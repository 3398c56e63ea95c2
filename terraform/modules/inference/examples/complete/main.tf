# A deployment with a key, limits, alarms and a model that is pinned.
terraform {
  required_version = ">= 1.7"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7"
    }
  }
}

module "inference" {
  source = "../.."

  project_name         = "reef"
  environment          = "prod"
  cors_allowed_origins = ["https://reef.example.org"]

  model_s3_bucket = "my-models"
  model_s3_key    = "models/v2.0/best_model.keras"
  model_sha256    = "0000000000000000000000000000000000000000000000000000000000000000"
  model_version   = "v2.0"

  inference_config             = { confidence_threshold = 0.6 }
  inference_config_fingerprint = "0000000000000000000000000000000000000000000000000000000000000000"

  enable_api_key                   = true
  store_api_key_in_secrets_manager = true
  throttle = {
    api_key_daily_quota = 1000
    rate_limit          = 50
    burst_limit         = 100
  }

  lambda = {
    image_uri                         = "123456789012.dkr.ecr.us-east-1.amazonaws.com/reef-prod@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    memory_size                       = 4096
    reserved_concurrent_executions    = 40
    provisioned_concurrent_executions = 1
  }
  job_max_concurrency = 20

  alarms = {
    email                = "reef@example.org"
    invocations_per_hour = 5000
  }
}
