variable "project_name" {
  description = "First part of every name, as in the environments."
  type        = string
  default     = "anemonefish-inference"
  nullable    = false
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,24}[a-z0-9]$", var.project_name))
    error_message = "project_name must be 3 to 26 lower-case letters, digits and hyphens, starting with a letter and not ending with a hyphen."
  }
}

variable "aws_region" {
  description = "AWS region of the state and of the environments."
  type        = string
  default     = "us-east-1"
  nullable    = false
  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.aws_region))
    error_message = "aws_region must be the name of a region, like us-east-1."
  }
}

variable "environments" {
  description = "Environments in this account: dev, prod or both."
  type        = set(string)
  default     = ["dev", "prod"]
  nullable    = false
  validation {
    condition     = length(var.environments) > 0 && length(setsubtract(var.environments, ["dev", "prod"])) == 0
    error_message = "environments must be dev, prod or both."
  }
}

variable "github_repository" {
  description = "Repository whose workflows may take the roles, as owner/name."
  type        = string
  nullable    = false
  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+$", var.github_repository))
    error_message = "github_repository must be owner/name, without wildcards."
  }
}

variable "model_s3_bucket" {
  description = "Existing bucket that holds the model, which the check after a deployment reads."
  type        = string
  nullable    = false
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.model_s3_bucket))
    error_message = "model_s3_bucket must be the name of a bucket, without s3:// or a path."
  }
}

variable "create_oidc_provider" {
  description = "Whether to make GitHub's identity provider. An account can have only one: use false if it exists already."
  type        = bool
  default     = true
  nullable    = false
}

variable "dev_account_id" {
  description = "Account of dev, from which prod takes the tested images; null if it is this account."
  type        = string
  default     = null
  validation {
    condition     = var.dev_account_id == null || can(regex("^[0-9]{12}$", var.dev_account_id))
    error_message = "dev_account_id must be 12 digits, or null."
  }
}

variable "shared_repository" {
  description = "Whether dev and prod take images from one repository, if both are in this account: prod then uses the tested image of dev without a copy."
  type        = bool
  default     = false
  nullable    = false
  validation {
    condition     = !var.shared_repository || length(var.environments) == 2
    error_message = "shared_repository needs both dev and prod in this account; with separate accounts, prod takes images from the repository of dev."
  }
}

variable "state_bucket" {
  description = "Name of the bucket of the state; null makes the name from the project and the account."
  type        = string
  default     = null
  validation {
    condition     = var.state_bucket == null || can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.state_bucket))
    error_message = "state_bucket must be the name of a bucket, without s3:// or a path, or null."
  }
}

variable "tags" {
  description = "Tags of every resource, in addition to Project and ManagedBy."
  type        = map(string)
  default     = {}
  nullable    = false
}
