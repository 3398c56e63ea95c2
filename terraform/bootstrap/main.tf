# What an account needs once, before the first environment: the bucket of the state, GitHub's roles, the role with which
# API Gateway writes logs, and the repository of images if the environments share one.

terraform {
  required_version = ">= 1.10" # the state's lock is a file beside it
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

provider "aws" {
  region = var.aws_region
  default_tags {
    tags = merge({ Project = var.project_name, ManagedBy = "terraform" }, var.tags)
  }
}

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

locals {
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
}

# Tags may move here, because each environment names its image by digest.
module "shared_repository" {
  source = "../modules/ecr"
  count  = var.shared_repository ? 1 : 0

  project_name         = var.project_name
  environment          = "shared"
  image_tag_mutability = "MUTABLE"
  max_image_count      = 50
}
