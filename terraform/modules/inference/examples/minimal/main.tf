# The smallest example: only the variables that the module requires.
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

  project_name                 = "reef"
  environment                  = "dev"
  model_s3_bucket              = "my-models"
  inference_config_fingerprint = "ffa305465cb50910073f5a242e9b91c9fa3147837a91a262d1386868d469d2f5" # of the general defaults; `anemone config to-tfvars` writes those of the model
  cors_allowed_origins         = ["https://reef.example.org"]
  enable_api_key               = false

  lambda = {
    image_uri = "123456789012.dkr.ecr.us-east-1.amazonaws.com/reef-dev:1.0.0"
  }
}

output "api_endpoint" {
  description = "HTTPS address of /predict."
  value       = module.inference.api_endpoint
}
