# Rscript r_statistics.R r_statistics.json: small problems and R's answers, for
# tests/statistics. R 4.2.2, locfit 1.5-9.7, jsonlite.
library(locfit)
set.seed(1)
n <- 50
x <- seq(0.2, 0.95, length = n)
y <- sin(5 * x) * 300 + rnorm(n, 0, 20)
y[7] <- 900
tied <- sort(c(runif(30), rep(.5, 5), .501, .502, .5021, runif(5) / 50))
value <- rnorm(length(tied)) + 3 * tied
lowess_cases <- list(
  list(x = x, y = y, fraction = 0.2, delta = 0.01),
  list(x = tied, y = value, fraction = 0.2, delta = 0.01),
  list(x = tied, y = value, fraction = 2 / 3, delta = 0.01),
  list(x = tied, y = value, fraction = 0.3, delta = 0),
  list(x = tied, y = value, fraction = 0.3, delta = 0.2)
)
lowess_cases <- lapply(lowess_cases, function(case) {
  width <- case$delta * diff(range(case$x))
  c(case, list(smooth = lowess(case$x, case$y, f = case$fraction, delta = width)$y))
})

m <- 120
u <- sort(rnorm(m, 5, 3))
v <- 2 - u / 2 + u^2 / 30 + rnorm(m, 0, 0.3)
w <- exp(u)
fit <- locfit(v ~ u, weights = w)
at <- c(min(u) - 3:1, seq(min(u), max(u), length = 40), max(u) + 1:3)
local <- list(x = u, y = v, weights = w, at = at, fitted = predict(fit, at))

knots <- sort(runif(12))
heights <- rnorm(12)
places <- seq(-0.3, 1.3, length = 40)
spline <- list(x = knots, y = heights, at = places, value = splinefun(knots, heights)(places))

p <- c(runif(30)^3, 0.01, 0.01, 1, NA, NA)
p <- p[sample(length(p))]
z <- c(rnorm(31), 7)
q <- seq(0, 1, length = 13)
out <- list(
  lowess = lowess_cases, local = local, spline = spline,
  bh = list(p = p, adjusted = p.adjust(p, "BH")),
  robust = list(x = z, median = median(z), mad = mad(z), mad_odd = mad(z[-1]),
    q = q, quantiles = unname(quantile(z, q)))
)
file <- commandArgs(TRUE)[1]
cat(jsonlite::toJSON(out, auto_unbox = TRUE, digits = NA, na = "null"), "\n", file = file)
