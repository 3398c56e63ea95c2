# The repository of the function's image.

terraform {
  required_version = ">= 1.7"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7"
    }
  }
}

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

resource "aws_ecr_repository" "this" {
  name                 = "${var.project_name}-${var.environment}"
  image_tag_mutability = var.image_tag_mutability
  force_delete         = var.force_delete

  image_scanning_configuration {
    scan_on_push = true
  }
  encryption_configuration {
    encryption_type = "AES256"
  }
}

# Lambda itself reads the images, also later while a function runs. Other accounts take images that were tested here.
resource "aws_ecr_repository_policy" "this" {
  repository = aws_ecr_repository.this.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([{
      Sid       = "LambdaTakesImages"
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id } }
      }], length(var.pull_account_ids) == 0 ? [] : [{
      Sid       = "AccountsTakeImages"
      Effect    = "Allow"
      Principal = { AWS = [for account in var.pull_account_ids : "arn:${data.aws_partition.current.partition}:iam::${account}:root"] }
      Action    = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    }])
  })
}

# A rule does not see the images that an earlier rule has selected. An image that ran has a tag live-…, so the first rule
# selects it; and the number of images that the first rule keeps is so high that it never deletes one.
resource "aws_ecr_lifecycle_policy" "this" {
  repository = aws_ecr_repository.this.name
  policy = jsonencode({
    rules = [
      {
        rulePriority = 1
        description  = "Keep what an alias may use"
        selection    = { tagStatus = "tagged", tagPrefixList = ["live-"], countType = "imageCountMoreThan", countNumber = 1000 }
        action       = { type = "expire" }
      },
      {
        rulePriority = 2
        description  = "Keep the newest ${var.max_image_count} of the others"
        selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = var.max_image_count }
        action       = { type = "expire" }
      },
    ]
  })
}
