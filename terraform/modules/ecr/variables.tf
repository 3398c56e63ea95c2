variable "environment" {
  description = "Second part of every name, such as dev or prod."
  type        = string
  nullable    = false
  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,7}$", var.environment))
    error_message = "environment must be 2 to 8 lower-case letters and digits, starting with a letter."
  }
}

variable "force_delete" {
  description = "Whether destroy may delete a repository that still contains images."
  type        = bool
  default     = false
  nullable    = false
}

variable "image_tag_mutability" {
  description = "MUTABLE lets a tag move to another image, IMMUTABLE does not."
  type        = string
  default     = "IMMUTABLE"
  nullable    = false
  validation {
    condition     = contains(["MUTABLE", "IMMUTABLE"], var.image_tag_mutability)
    error_message = "image_tag_mutability must be MUTABLE or IMMUTABLE."
  }
}

variable "max_image_count" {
  description = "Number of images to keep, in addition to those that ran (tagged live-…); older images are deleted."
  type        = number
  default     = 10
  nullable    = false
  validation {
    condition     = var.max_image_count >= 1 && var.max_image_count <= 1000 && floor(var.max_image_count) == var.max_image_count
    error_message = "max_image_count must be a whole number from 1 to 1000."
  }
}

variable "project_name" {
  description = "First part of every name."
  type        = string
  nullable    = false
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,24}[a-z0-9]$", var.project_name))
    error_message = "project_name must be 3 to 26 lower-case letters, digits and hyphens, starting with a letter and not ending with a hyphen."
  }
}

variable "pull_account_ids" {
  description = "Accounts that may take images, such as the account of prod for the images of dev."
  type        = list(string)
  default     = []
  nullable    = false
  validation {
    condition     = alltrue([for account in var.pull_account_ids : can(regex("^[0-9]{12}$", account))])
    error_message = "pull_account_ids must be account numbers of 12 digits."
  }
}
