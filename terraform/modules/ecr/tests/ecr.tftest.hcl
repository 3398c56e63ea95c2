# The repository is what was asked for.

mock_provider "aws" {
  source = "../../mocks"
}

variables {
  project_name = "anemone"
  environment  = "test"
}

run "scans_encrypts_and_keeps_as_many_images_as_asked" {
  command = plan
  variables {
    max_image_count = 7
  }
  assert {
    condition     = aws_ecr_repository.this.name == "anemone-test"
    error_message = "The repository is not named after project and environment."
  }
  assert {
    condition     = aws_ecr_repository.this.image_scanning_configuration[0].scan_on_push
    error_message = "Images are not scanned on push."
  }
  assert {
    condition     = aws_ecr_repository.this.encryption_configuration[0].encryption_type == "AES256"
    error_message = "Images are not encrypted."
  }
  assert {
    condition     = aws_ecr_repository.this.image_tag_mutability == "IMMUTABLE"
    error_message = "Tags may move by default."
  }
  assert {
    condition     = jsondecode(aws_ecr_lifecycle_policy.this.policy).rules[1].selection.countNumber == 7
    error_message = "The lifecycle policy does not keep max_image_count images."
  }
  assert {
    condition     = jsondecode(aws_ecr_lifecycle_policy.this.policy).rules[0].selection.tagPrefixList == ["live-"] && jsondecode(aws_ecr_lifecycle_policy.this.policy).rules[0].rulePriority == 1
    error_message = "An image that an alias uses may be deleted."
  }
  assert {
    condition     = [for statement in jsondecode(aws_ecr_repository_policy.this.policy).Statement : statement.Sid] == ["LambdaTakesImages"]
    error_message = "Others than Lambda may take images though nobody asked."
  }
}

run "another_account_takes_images_and_pushes_none" {
  command = plan
  variables {
    pull_account_ids = ["999999999999"]
  }
  assert {
    condition     = jsondecode(aws_ecr_repository_policy.this.policy).Statement[1].Principal.AWS == ["arn:aws:iam::999999999999:root"] && jsondecode(aws_ecr_repository_policy.this.policy).Statement[1].Action == ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    error_message = "The account may not take images, or may do more."
  }
}

run "the_smallest_example" {
  module {
    source = "./examples/minimal"
  }
}
