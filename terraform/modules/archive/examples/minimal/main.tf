# Archives beside a detector: its image, its model and settings, its bucket of results.
terraform {
  required_version = ">= 1.7"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7"
    }
  }
}

locals {
  image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/reef-dev:1.0.0"
}

module "inference" {
  source = "../../../inference"

  project_name                 = "reef"
  environment                  = "dev"
  model_s3_bucket              = "my-models"
  inference_config_fingerprint = "ffa305465cb50910073f5a242e9b91c9fa3147837a91a262d1386868d469d2f5" # of the general defaults; `anemone config to-tfvars` writes those of the model
  cors_allowed_origins         = ["https://reef.example.org"]
  enable_api_key               = false
  lambda                       = { image_uri = local.image }
}

module "archive" {
  source = "../.."

  project_name         = "reef"
  environment          = "dev"
  bucket               = module.inference.s3_output_bucket
  detector_environment = module.inference.detector_environment
  source_buckets       = ["my-recordings"]
  lambda               = { image_uri = local.image }
}

output "run_command" {
  description = "Command that runs an archive."
  value       = module.archive.run_command
}
