# Rscript before_replacement.R counts.tsv.gz coldata.tsv before_replacement.tsv
# DESeq2 1.38.3 on the simulated set with ~ condition: columns of the genes whose counts
# DESeq() replaces later, as the trend and the prior saw them.
suppressMessages(library(DESeq2))
args <- commandArgs(TRUE)
counts <- as.matrix(read.delim(gzfile(args[1]), row.names = 1))
samples <- read.delim(args[2], row.names = 1, stringsAsFactors = TRUE)
dds <- DESeqDataSetFromMatrix(counts, samples, ~condition)
fit <- estimateDispersions(estimateSizeFactors(dds), quiet = TRUE)
replaced <- which(mcols(DESeq(dds, quiet = TRUE))$replace)
out <- as.data.frame(mcols(fit)[replaced, c("baseMean", "dispGeneEst", "dispFit")])
out <- cbind(gene = rownames(dds)[replaced], format(out, digits = 12))
write.table(out, args[3], sep = "\t", quote = FALSE, row.names = FALSE)
