# Two buckets: uploaded recordings, which expire soon, and results, which stay longer. A result that was replaced or
# deleted can be restored for a day. The model's bucket exists already.

locals {
  buckets = {
    input  = { expiration_days = var.s3_input_expiration_days, versioned = false, browser_methods = ["GET", "PUT"] }
    output = { expiration_days = var.s3_output_expiration_days, versioned = true, browser_methods = ["GET"] }
  }
}

resource "aws_s3_bucket" "this" {
  for_each      = local.buckets
  bucket        = "${local.name}-${each.key}-${local.account_id}"
  force_destroy = var.force_destroy
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each                = aws_s3_bucket.this
  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = { for name, bucket in local.buckets : name => bucket if bucket.versioned }
  bucket   = aws_s3_bucket.this[each.key].id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  for_each = local.buckets
  bucket   = aws_s3_bucket.this[each.key].id

  rule {
    id     = "expire"
    status = "Enabled"
    filter {}
    expiration {
      days = each.value.expiration_days
    }
    # An object that expires or is deleted becomes an older version. The older version must not stay as long again.
    dynamic "noncurrent_version_expiration" {
      for_each = each.value.versioned ? [1] : []
      content {
        noncurrent_days = noncurrent_version_expiration.value
      }
    }
  }
  dynamic "rule" {
    for_each = each.value.versioned ? ["remove-delete-markers"] : []
    content {
      id     = rule.value
      status = "Enabled"
      filter {}
      expiration {
        expired_object_delete_marker = true
      }
    }
  }
  rule {
    id     = "abort-incomplete-uploads"
    status = "Enabled"
    filter {}
    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_policy" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyOverTls"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [each.value.arn, "${each.value.arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })

  depends_on = [aws_s3_bucket_public_access_block.this]
}

locals {
  # The page at the API's root is a page of the API's own host.
  own_origin = regex("^https://[^/]+", aws_api_gateway_stage.this.invoke_url)
}

# A browser uploads the parts of a recording, reads their ETags, and fetches results, all by presigned addresses.
resource "aws_s3_bucket_cors_configuration" "this" {
  for_each = local.buckets
  bucket   = aws_s3_bucket.this[each.key].id
  cors_rule {
    allowed_methods = each.value.browser_methods
    allowed_origins = contains(var.cors_allowed_origins, "*") ? ["*"] : concat(var.cors_allowed_origins, [local.own_origin])
    allowed_headers = ["*"]
    expose_headers  = ["ETag"]
    max_age_seconds = 3600
  }
}
