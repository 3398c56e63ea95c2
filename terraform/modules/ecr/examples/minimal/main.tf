# A repository for the image of one environment.
terraform {
  required_version = ">= 1.7"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7"
    }
  }
}

module "ecr" {
  source = "../.."

  project_name = "reef"
  environment  = "dev"
}

output "repository_url" {
  description = "Where the image is pushed."
  value       = module.ecr.repository_url
}
