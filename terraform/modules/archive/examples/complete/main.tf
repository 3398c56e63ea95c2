# A season of a public archive: many calls at once, of which the API keeps its own, and a topic that is told of failures.
terraform {
  required_version = ">= 1.7"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7"
    }
  }
}

module "archive" {
  source = "../.."

  project_name   = "reef"
  environment    = "prod"
  bucket         = "reef-prod-output-123456789012"
  source_buckets = ["reef-recordings", "public-ocean-archive"]
  detector_environment = {
    INFERENCE_CONFIG_FINGERPRINT = "ffa305465cb50910073f5a242e9b91c9fa3147837a91a262d1386868d469d2f5" # of the general defaults; `anemone config to-tfvars` writes those of the model
    S3_MODEL_BUCKET              = "my-models"
    S3_MODEL_KEY                 = "models/v2.0/best_model.keras"
    MODEL_VERSION                = "v2.0"
  }

  lambda = {
    image_uri                      = "123456789012.dkr.ecr.us-east-1.amazonaws.com/reef-prod@sha256:0000000000000000000000000000000000000000000000000000000000000000"
    architecture                   = "arm64"
    ephemeral_storage_size         = 10240
    reserved_concurrent_executions = 200
  }
  max_concurrency              = 200
  tolerated_failure_percentage = 5
  timeout                      = 1209600

  alarm_topic_arn = "arn:aws:sns:us-east-1:123456789012:reef-prod-alarms"
  kms_key_arns    = ["arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"]
}
